"""The official `anthropic` package through a gateway process: messages, tools, images, counting, listings."""

from __future__ import annotations

import anthropic
import pytest

TEXT = "eins zwei drei vier – fünf 六 🙂"
MESSAGES = [{"role": "user", "content": TEXT}]
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_is_answered_with_usage_and_request_id(anthropic_client, model):
    message = anthropic_client.messages.create(model=model, max_tokens=100, messages=MESSAGES)
    assert text_of(message) == TEXT and message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    assert message._request_id.startswith("req_")


def test_a_message_streams_word_by_word(anthropic_client, model):
    with anthropic_client.messages.stream(model=model, max_tokens=100, messages=MESSAGES) as stream:
        words = list(stream.text_stream)
        final = stream.get_final_message()
        assert stream.request_id.startswith("req_")
    assert "".join(words) == text_of(final) == TEXT and len(words) == len(TEXT.split())
    assert final.usage.output_tokens > 0 and final.stop_reason == "end_turn"


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_message_calls_a_tool_and_takes_its_result(anthropic_client, model, is_stream):
    asked = {"model": model, "max_tokens": 100, "tools": [TOOL]}
    messages = [{"role": "user", "content": "call tool"}]
    if is_stream:
        with anthropic_client.messages.stream(**asked, messages=messages) as stream:
            message = stream.get_final_message()
    else:
        message = anthropic_client.messages.create(**asked, messages=messages)
    (call,) = message.content
    assert (call.type, call.name, message.stop_reason) == ("tool_use", "weather", "tool_use") and "city" in call.input
    used = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages += [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    assert text_of(anthropic_client.messages.create(**asked, messages=messages)) == "The tool answered: rain"


def test_a_message_takes_an_image(anthropic_client, upstream, model):
    parts = [{"type": "text", "text": "what is this"}, {"type": "image", "source": PIXEL}]
    message = anthropic_client.messages.create(
        model=model, max_tokens=100, messages=[{"role": "user", "content": parts}]
    )
    assert text_of(message) == "what is this [image]"
    assert upstream.seen(model)[0]["body"]["messages"][0]["content"] == parts


def test_tokens_are_counted_as_the_message_will_report_them(anthropic_client, model):
    counted = anthropic_client.messages.count_tokens(model=model, messages=MESSAGES)
    message = anthropic_client.messages.create(model=model, max_tokens=100, messages=MESSAGES)
    assert counted.input_tokens == message.usage.input_tokens > 0


def test_beta_headers_reach_the_upstream_and_the_callers_key_does_not(anthropic_client, upstream, shopper, model):
    anthropic_client.beta.messages.create(model=model, max_tokens=9, messages=MESSAGES, betas=["some-beta-2026-01-01"])
    (line,) = upstream.seen(model)
    assert line["headers"]["anthropic-beta"] == "some-beta-2026-01-01"
    assert line["headers"]["anthropic-version"] == anthropic_client.default_headers["anthropic-version"]
    assert line["secret"] == shopper.credentials["anthropic-main"]
    assert shopper.key not in str(line)


def test_models_are_listed_and_described_in_anthropics_shape(anthropic_client):
    listed = {card.id: card for card in anthropic_client.models.list()}
    assert listed["known-anthropic"].type == "model" and listed["known-anthropic"].display_name == "known-anthropic"
    assert anthropic_client.models.retrieve("known-anthropic").id == "known-anthropic"
    with pytest.raises(anthropic.NotFoundError, match="not served here"):
        anthropic_client.models.retrieve("nothing-like-it")


@pytest.mark.asyncio
async def test_the_async_client_takes_the_same_journey(gateway, shopper, model):
    asked = {"model": model, "max_tokens": 100, "messages": MESSAGES}
    async with anthropic.AsyncAnthropic(api_key=shopper.key, base_url=gateway.url, max_retries=0) as client:
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            words = [word async for word in stream.text_stream]
        counted = await client.messages.count_tokens(model=model, messages=MESSAGES)
        listed = [card.id async for card in client.models.list()]
    assert text_of(whole) == "".join(words) == TEXT
    assert counted.input_tokens == whole.usage.input_tokens and "known-anthropic" in listed


def test_a_bearer_token_is_as_good_as_an_api_key(gateway, shopper, model):
    with anthropic.Anthropic(auth_token=shopper.key, api_key=None, base_url=gateway.url, max_retries=0) as client:
        assert text_of(client.messages.create(model=model, max_tokens=100, messages=MESSAGES)) == TEXT
