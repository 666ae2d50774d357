"""The public prices: resolved without loss, looked up like the package does, and right by hand."""

from __future__ import annotations

import datetime as dt
import warnings
from decimal import Decimal

import msgspec
import pytest
from genai_prices.data import providers as lists
from genai_prices.types import Usage as TheirUsage

from analytics import public_prices
from analytics.engine.price_book import Clause, DatedPrice, PriceBook, PricedModel, PriceList
from analytics.engine.pricing import Price, cost
from analytics.engine.record import Usage
from analytics.price_books import price_book_ensure, price_book_read, price_book_update
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.rates import Rates

#: 2026-11-01 12:00 UTC
AT_S = 1_793_534_400


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(*public_prices.resolve())


# Worked out by hand, in USD, from the prices that stand in the package.
@pytest.mark.parametrize(
    ("provider", "model", "usage", "usd"),
    [
        # 1,000,000 × 2 + 100,000 × 8
        ("openai", "gpt-4.1", Usage(input_tokens=1_000_000, output_tokens=100_000), "2.8"),
        # 600 plain × 0.2 + 400 cached × 0.02 + 50 × 1.2, since July 2026
        ("openai", "gpt-5.6-luna", Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=50), "0.000188"),
        # above 272,000 tokens: 300,000 × 0.4 + 1000 × 1.8
        ("openai", "gpt-5.6-luna", Usage(input_tokens=300_000, output_tokens=1000), "0.1218"),
        # 2000 × 0.8 + 1000 read × 0.08 + 300 for five minutes × 1 + 200 for an hour × 1.6 + 100 × 4 + 3 × 0.01
        (
            "anthropic",
            "claude-3-5-haiku-20241022",
            Usage(
                input_tokens=3500,
                cache_read_tokens=1000,
                cache_write_tokens=500,
                cache_write_1h_tokens=200,
                output_tokens=100,
                web_searches=3,
            ),
            "0.03270",
        ),
        # 1,000 × 5 + 4160 pictures × 32, nothing else in the output
        (
            "openai",
            "gpt-image-1.5",
            Usage(input_tokens=1000, output_tokens=4160, output_image_tokens=4160),
            "0.13812",
        ),
        # 100 × 2.5 + 900 of sound × 32 + 50 × 10 + 200 of sound × 64
        (
            "openai",
            "gpt-audio",
            Usage(input_tokens=1000, input_audio_tokens=900, output_tokens=250, output_audio_tokens=200),
            "0.04235",
        ),
        # 250,000 is above 200,000: × 2.5 and 1000 × 15, one search 0.035
        ("gemini", "gemini-2.5-pro", Usage(input_tokens=250_000, output_tokens=1000, web_searches=1), "0.675"),
        # Introductory price until the end of 2026
        ("gemini", "gemini-3.8-flash", Usage(input_tokens=1_000_000, output_tokens=1_000_000), "4.5"),
        # Noon is off the peak of 01–04 and 06–10 UTC
        ("deepseek", "deepseek-v4-flash", Usage(input_tokens=1_000_000), "0.15"),
        # What another vendor's list says, where this one resells it
        ("azure-openai", "gpt-4.1", Usage(input_tokens=1_000_000, output_tokens=100_000), "2.8"),
    ],
)
def test_a_request_costs_what_the_public_prices_make_it(book, provider, model, usage, usd) -> None:
    price = book.price(*PROVIDERS[provider].priced_as("", model), AT_S)
    assert price is not None
    assert cost(usage, price) == Decimal(usd) * 10**9


@pytest.mark.parametrize(
    "at", [dt.datetime(2025, 6, 1, 20, tzinfo=dt.UTC), dt.datetime(2026, 11, 21, 2, 30, tzinfo=dt.UTC)]
)
def test_every_model_costs_what_the_package_itself_reckons(book, at) -> None:
    counts = {"input_tokens": 300_000, "output_tokens": 700, "cache_read_tokens": 100, "cache_write_tokens": 50}
    rare = {"cache_write_1h_tokens": 20, "web_searches": 2}
    ours = Usage(**counts, **rare, reasoning_tokens=30)
    theirs = TheirUsage(**counts, **rare, output_reasoning_tokens=30)
    compared, wrong = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for prices in lists:
            for model in prices.models:
                price = book.price(prices.id, model.id, at.timestamp())
                if price is None or price.request_nano_usd:
                    continue
                found = prices.find_model(model.id, all_providers=lists)
                assert found is not None
                usd = found.get_prices(at).calc_price(theirs)["total_price"]
                compared += 1
                if abs(usd * 10**9 - cost(ours, price)) > 1:
                    wrong.append((prices.id, model.id, usd, cost(ours, price)))
    assert wrong == []
    assert compared > 2000


def test_every_list_that_a_provider_names_is_in_the_book(book) -> None:
    named = {PROVIDERS[name].price_list for name in PROVIDERS} - {""}
    assert named - set(book.names) == set()
    assert book.price(*PROVIDERS["zhipu"].priced_as("https://api.z.ai/api", "glm-4.6"), AT_S) is not None
    assert book.price(*PROVIDERS["huggingface"].priced_as("", "openai/gpt-oss-120b:groq"), AT_S) is not None


@pytest.mark.parametrize("provider", ["echo", "ollama", "vllm", "openai-compatible", "anthropic-compatible", "localai"])
def test_what_runs_on_ones_own_machines_has_no_public_price(book, provider) -> None:
    assert book.price(*PROVIDERS[provider].priced_as("", "gpt-4.1"), AT_S) is None


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("whisper-1", "charged by the hour"),
        ("tts-1", "charged by the character"),
        ("moderation", "the list says nothing"),
        ("no-such-model", "not in the list"),
    ],
)
def test_what_cannot_be_counted_is_unknown_and_never_free(book, model, why) -> None:
    assert book.price("openai", model, AT_S) is None


def test_a_price_that_changes_does_so_at_its_date(book) -> None:
    new_year_s = dt.datetime(2027, 1, 1, tzinfo=dt.UTC).timestamp()
    before, after = (book.price("google", "gemini-3.8-flash", at_s) for at_s in (new_year_s - 1, new_year_s))
    assert before is not None and after is not None
    assert (before.rates.input, after.rates.input) == (750_000_000, 1_500_000_000)


def test_a_price_of_some_hours_counts_in_these_every_day(book) -> None:
    peak_s = dt.datetime(2026, 11, 21, 1, tzinfo=dt.UTC).timestamp()
    inputs = [
        price.rates.input
        for at_s in (peak_s - 1, peak_s, peak_s + 3 * 3600 - 1, peak_s + 3 * 3600)
        if (price := book.price("deepseek", "deepseek-v4-flash", at_s))
    ]
    assert inputs == [150_000_000, 300_000_000, 300_000_000, 150_000_000]


def test_hours_may_pass_midnight() -> None:
    night = DatedPrice(Price(Rates(1)), daily_s=(22 * 3600, 6 * 3600))
    assert [night.counts_at(hour * 3600) for hour in (21, 22, 0, 5, 6)] == [False, True, True, True, False]


def test_names_match_in_any_case_and_with_dates_in_either_spelling() -> None:
    entry = PricedModel("m", Clause("equals", "m-2026-01-31"), (DatedPrice(Price(Rates(1, 2))),))
    body = msgspec.json.encode({"lists": {"one": PriceList((entry,)), "two": PriceList((), also=("one",))}})
    book = PriceBook("v", body)
    for name in ("m-2026-01-31", "M-2026-01-31", "m-20260131"):
        for prices in ("one", "two"):
            price = book.price(prices, name, 0)
            assert price is not None and price.version == "v"
    assert book.price("one", "m-20261399", 0) is None
    assert book.price("three", "m-2026-01-31", 0) is None


def test_an_empty_book_knows_no_price() -> None:
    assert PriceBook().price("openai", "gpt-4.1", AT_S) is None


@pytest.mark.django_db
def test_a_book_is_stored_once_and_every_version_stays_readable() -> None:
    price_book_ensure()
    assert price_book_ensure() is False
    version, is_new = price_book_update()
    assert is_new is False
    assert price_book_read().version == price_book_read(version=version).version == version
    assert price_book_read().price("openai", "gpt-4.1", AT_S) is not None
