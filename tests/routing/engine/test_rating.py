"""What each end of a request costs: reported, estimated, at the price of whoever answered."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from analytics.engine.price_book import Clause, DatedPrice, PriceBook, PricedModel, PriceList, Prices
from analytics.engine.pricing import Price
from channels_app.engine.errors import UpstreamBroken
from channels_app.engine.rates import PriceOverride, Rates
from routing.engine.document import ModelSpec
from tests.routing.engine.cast import Anything, channel, snapshot
from tests.routing.engine.harness import DONE, PATHS, Harness, Step, chat_event, streamed

RATES = Rates(1_000_000_000, 2_000_000_000)
PRICED = (PriceOverride(model="up", rates=RATES),)
WORDS = ("Once", " upon", " a", " time", " there", " was", " a", " fox")


def priced_channel(slug="a", prices=PRICED, **fields):
    return channel(slug, models=(ModelSpec("m", "up"),), prices=prices, **fields)


@pytest.mark.asyncio
async def test_a_whole_answer_says_what_it_cost():
    harness = Harness(channels=[priced_channel()])
    answer = await harness.ask()
    # 5 × 1 + 2 × 2 USD per million
    assert answer.headers["x-routex-cost-usd"] == "0.000009"
    assert harness.record.cost_nano_usd == 9000
    assert harness.record.price_version.startswith("channel:")


@pytest.mark.asyncio
async def test_a_model_without_a_price_costs_an_unknown_amount_and_not_nothing():
    harness = Harness(channels=[priced_channel(prices=())])
    answer = await harness.ask()
    assert "x-routex-cost-usd" not in answer.headers
    assert (harness.record.cost_nano_usd, harness.record.price_version) == (None, "")
    assert harness.record.usage.input_tokens == 5


@pytest.mark.asyncio
async def test_a_stream_is_charged_in_its_record():
    harness = Harness(streamed(), channels=[priced_channel()])
    await harness.ask(stream=True)
    assert harness.record.cost_nano_usd == 9000
    assert harness.record.usage.is_estimated is False


@pytest.mark.asyncio
async def test_a_stream_that_broke_is_charged_for_what_passed():
    events = [chat_event(word) for word in WORDS]
    harness = Harness(streamed(*events, UpstreamBroken("it hung up")), channels=[priced_channel()])
    await harness.ask(stream=True)
    usage = harness.record.usage
    assert harness.record.outcome == "cut"
    assert usage.is_estimated
    assert usage.input_tokens > 0
    assert len(WORDS) <= usage.output_tokens <= 2 * len(WORDS)
    assert harness.record.cost_nano_usd == usage.input_tokens * 1000 + usage.output_tokens * 2000


@pytest.mark.asyncio
async def test_a_stream_that_never_reports_is_estimated_too():
    events = [*(chat_event(word) for word in WORDS), chat_event(finish_reason="stop"), DONE]
    harness = Harness(streamed(*events), channels=[priced_channel()])
    await harness.ask(stream=True)
    assert harness.record.outcome == "answered"
    assert harness.record.usage.is_estimated
    assert harness.record.usage.output_tokens >= len(WORDS)


@pytest.mark.asyncio
async def test_messages_that_break_are_charged_for_more_than_the_one_token_they_begin_with():
    start = {"type": "message_start", "message": {"model": "up", "usage": {"input_tokens": 70, "output_tokens": 1}}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word * 3}} for word in WORDS
    ]
    events = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in (start, {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}, *deltas)
    ]
    harness = Harness(streamed(*events, UpstreamBroken("it hung up")), channels=[priced_channel()])
    await harness.ask(path=PATHS["anthropic"], stream=True, max_tokens=50)
    usage = harness.record.usage
    assert (usage.input_tokens, usage.is_estimated) == (70, True)
    assert usage.output_tokens >= len(WORDS)


@pytest.mark.asyncio
async def test_a_client_that_left_before_the_answer_pays_for_the_input():
    never = asyncio.Event()
    harness = Harness(Step(chunks=[never]), channels=[priced_channel()])
    asking = asyncio.create_task(harness.ask())
    while not harness.provider.open:
        await asyncio.sleep(0)
    harness.left.set()
    await asking
    record = harness.record
    assert (record.outcome, record.channel_slug, record.upstream_model) == ("gone", "a", "up")
    assert record.usage.is_estimated
    assert record.usage.output_tokens == 0
    assert record.cost_nano_usd == record.usage.input_tokens * 1000


def completed(text, **choice):
    choice = {"text": text, "index": 0, "finish_reason": None} | choice
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


@pytest.mark.asyncio
async def test_a_completion_that_broke_is_charged_for_what_passed():
    harness = Harness(streamed(*map(completed, WORDS), UpstreamBroken("it hung up")), channels=[priced_channel()])
    body = {"model": "m", "prompt": "Tell me a story about a fox.", "stream": True}
    await harness.ask(body, path=PATHS["openai-completions"])
    record = harness.record
    assert (record.outcome, record.usage.is_estimated) == ("cut", True)
    assert len(WORDS) <= record.usage.output_tokens <= 2 * len(WORDS)
    assert record.cost_nano_usd == 1000 * record.usage.input_tokens + 2000 * record.usage.output_tokens


@pytest.mark.asyncio
async def test_a_completion_whose_upstream_counts_nothing_is_estimated():
    whole = json.dumps({"id": "c", "choices": [{"text": "word " * 40}]}).encode()
    harness = Harness(Step(chunks=[whole]), channels=[priced_channel()])
    answer = await harness.ask({"model": "m", "prompt": "a b c"}, path=PATHS["openai-completions"])
    assert answer.body == whole and "x-routex-cost-usd" in answer.headers
    usage = harness.record.usage
    assert usage.is_estimated and 0 < usage.input_tokens < 20 < usage.output_tokens < 80


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "operation", "body", "answered", "tokens"),
    [
        ("/v1/embeddings", "openai-embeddings", {"input": ["a" * 40, "b"]}, {"data": [], "usage": None}, 11),
        ("/v1/embeddings", "openai-embeddings", {"input": [[1, 22222, 3], [4]]}, {"data": []}, 4),
        (
            "/v1beta/models/m:batchEmbedContents",
            "gemini:batchEmbedContents",
            {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a" * 40}]}}] * 2},
            {"embeddings": [{"values": [1.0]}] * 2},
            20,
        ),
    ],
)
async def test_embeddings_that_the_upstream_does_not_count_are_estimated_by_their_inputs(
    path, operation, body, answered, tokens
):
    harness = Harness(Step(chunks=[json.dumps(answered).encode()]), channels=[priced_channel()])
    harness.provider.endpoints = {operation: "/embed"}
    answer = await harness.ask({"model": "m", **body}, path=path)
    assert answer.json == answered, "bytes pass all the same"
    usage = harness.record.usage
    assert (usage.input_tokens, usage.output_tokens, usage.is_estimated) == (tokens, 0, True)
    assert harness.record.cost_nano_usd == tokens * 1000


@pytest.mark.asyncio
async def test_pictures_among_embedded_contents_are_estimated_by_the_body():
    harness = Harness(Step(chunks=[b'{"embedding":{"values":[1.0]}}']), channels=[priced_channel()])
    harness.provider.endpoints = {"gemini:embedContent": "/embed"}
    body = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}}
    assert (await harness.ask(body, path="/v1beta/models/m:embedContent")).status == 200
    usage = harness.record.usage
    assert usage.is_estimated and usage.input_tokens > 0 and usage.output_tokens == 0


@pytest.mark.asyncio
async def test_moderations_and_sound_are_not_charged_by_a_guess():
    for path, answered in (
        ("openai-moderations", Step(chunks=[b'{"results":[]}'])),
        ("openai-speech", Step(chunks=[b"ID3"], headers=[(b"content-type", b"audio/mpeg")])),
    ):
        harness = Harness(answered, channels=[priced_channel()])
        assert (await harness.ask({"model": "m", "input": "x"}, path=PATHS[path])).status == 200
        assert (harness.record.usage, harness.record.cost_nano_usd) == (None, None)


def book(**models: int) -> PriceBook:
    entries = tuple(
        PricedModel(name, Clause("equals", name), (DatedPrice(Price(Rates(rate, rate))),))
        for name, rate in models.items()
    )
    return PriceBook("book-1", msgspec.json.encode({"lists": {"vendor": PriceList(entries)}}))


def priced_snapshot(*channels, **models):
    class Listed(Anything):
        price_list = "vendor"

    found = snapshot(*channels, provider=Listed())
    found.prices = Prices(book(**models))
    return found


def test_the_channels_own_price_wins_over_the_books():
    ours = priced_channel("ours", prices=PRICED)
    theirs = priced_channel("theirs", prices=())
    shot = priced_snapshot(ours, theirs, up=5)
    prices = {each.channel.spec.slug: shot.price(each, 0) for each in shot.candidates("m")}
    assert prices["ours"].rates == RATES
    assert (prices["theirs"].rates, prices["theirs"].version) == (Rates(5, 5), "book-1")


def test_a_factor_multiplies_the_price_of_the_book():
    half_more = (PriceOverride(model="*", multiplier_millionths=1_500_000),)
    shot = priced_snapshot(priced_channel(prices=half_more), up=4)
    [candidate] = shot.candidates("m")
    price = shot.price(candidate, 0)
    assert price.rates == Rates(6, 6)
    assert price.version.startswith("book-1+channel:")


def test_a_factor_of_an_unknown_price_is_unknown():
    shot = priced_snapshot(priced_channel(prices=(PriceOverride(model="*", multiplier_millionths=2),)))
    [candidate] = shot.candidates("m")
    assert shot.price(candidate, 0) is None


def test_a_newer_book_counts_at_once():
    shot = priced_snapshot(priced_channel(prices=()), up=4)
    [candidate] = shot.candidates("m")
    assert shot.price(candidate, 0).rates == Rates(4, 4)
    shot.prices.book = book(up=7)
    assert shot.price(candidate, 0).rates == Rates(7, 7)
