"""The official `openai` package through a gateway process: chat, responses, embeddings, images, listings."""

from __future__ import annotations

import json

import openai
import pytest

TEXT = "eins zwei drei vier – fünf 六 🙂"
MESSAGES = [{"role": "user", "content": TEXT}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
RESPONSES_TOOL = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}


def test_a_chat_is_answered_with_usage_and_request_id(openai_client, model):
    completion = openai_client.chat.completions.create(model=model, messages=MESSAGES)
    assert completion.choices[0].message.content == TEXT
    assert completion.usage.prompt_tokens == completion.usage.completion_tokens > 0
    assert completion._request_id.startswith("req_")


def test_a_chat_streams_word_by_word(openai_client, model):
    stream = openai_client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    words = [choice.delta.content for chunk in stream for choice in chunk.choices if choice.delta.content]
    assert "".join(words) == TEXT and len(words) == len(TEXT.split())


def test_usage_comes_at_the_end_of_a_stream_only_when_asked_for(openai_client, model):
    def usages(**more):
        chunks = openai_client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **more)
        return [chunk.usage for chunk in chunks if chunk.usage]

    assert usages() == []
    (usage,) = usages(stream_options={"include_usage": True})
    assert usage.prompt_tokens == usage.completion_tokens > 0


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_chat_calls_a_tool_and_takes_its_result(openai_client, model, is_stream):
    asked = {"model": model, "tools": [CHAT_TOOL], "messages": [{"role": "user", "content": "please call tool"}]}
    if is_stream:
        with openai_client.chat.completions.stream(**asked) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = openai_client.chat.completions.create(**asked).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    asked["messages"] = [*asked["messages"], message.model_dump(exclude_none=True, exclude={"parsed"}), result]
    for tool_call in asked["messages"][1]["tool_calls"]:
        tool_call["function"].pop("parsed_arguments", None)
    again = openai_client.chat.completions.create(**asked)
    assert again.choices[0].message.content == "The tool answered: rain"


def test_a_chat_takes_an_image(openai_client, upstream, model):
    parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    completion = openai_client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    assert completion.choices[0].message.content == "what is this [image]"
    assert upstream.seen(model)[0]["body"]["messages"][0]["content"] == parts


def test_a_response_is_answered_and_streamed(openai_client, model):
    whole = openai_client.responses.create(model=model, input=TEXT)
    assert whole.output_text == TEXT and whole.usage.output_tokens > 0 and whole._request_id.startswith("req_")
    with openai_client.responses.stream(model=model, input=TEXT) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert "".join(deltas) == final.output_text == TEXT
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_calls_a_tool_and_takes_its_result(openai_client, model, is_stream):
    asked = {"model": model, "tools": [RESPONSES_TOOL], "input": [{"role": "user", "content": "call tool"}]}
    if is_stream:
        with openai_client.responses.stream(**asked) as events:
            response = events.get_final_response()
    else:
        response = openai_client.responses.create(**asked)
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.name == "weather" and "city" in json.loads(call.arguments)
    said = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    again = openai_client.responses.create(**{**asked, "input": [*asked["input"], said, result]})
    assert again.output_text == "The tool answered: rain"


def test_a_response_takes_an_image(openai_client, model):
    parts = [{"type": "input_text", "text": "this"}, {"type": "input_image", "image_url": PIXEL, "detail": "low"}]
    response = openai_client.responses.create(model=model, input=[{"role": "user", "content": parts}])
    assert response.output_text == "this [image]"


def test_embeddings_come_as_floats_and_in_the_packages_own_base64(openai_client, upstream, model):
    floats = openai_client.embeddings.create(model=model, input=["a", "b"], encoding_format="float")
    packed = openai_client.embeddings.create(model=model, input=["a", "b"])
    formats = [line["body"].get("encoding_format") for line in upstream.seen(model)]
    assert formats == ["float", "base64"]
    assert [len(row.embedding) for row in floats.data] == [len(row.embedding) for row in packed.data]
    assert floats.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)
    assert floats.usage.prompt_tokens == packed.usage.prompt_tokens > 0


def test_an_image_is_generated_whole_and_streamed(openai_client, model):
    image = openai_client.images.generate(model=model, prompt="a dot")
    assert image.data[0].b64_json and image.usage.total_tokens > 0
    events = list(openai_client.images.generate(model=model, prompt="a dot", stream=True))
    assert [event.type for event in events] == ["image_generation.completed"]


def test_models_are_listed_and_described(openai_client):
    listed = [card.id for card in openai_client.models.list()]
    assert {"known-openai", "public-name", "smart"} <= set(listed)
    card = openai_client.models.retrieve("known-openai")
    assert (card.id, card.object) == ("known-openai", "model")
    with pytest.raises(openai.NotFoundError, match="`nothing-like-it` is not served here"):
        openai_client.models.retrieve("nothing-like-it")


def test_an_openai_compatible_channel_answers_under_its_own_base_url(openai_client, upstream, shopper):
    completion = openai_client.chat.completions.create(model="compat-1", messages=MESSAGES)
    assert completion.choices[0].message.content == TEXT
    (line,) = upstream.seen("compat-1")
    assert line["path"] == "/compat/v1/chat/completions"
    assert line["secret"] == shopper.credentials["compatible"]


def test_a_renamed_model_and_an_alias_and_a_pinned_channel_reach_their_upstream(openai_client, upstream):
    def headers(asked):
        raw = openai_client.chat.completions.with_raw_response.create(model=asked, messages=MESSAGES)
        return raw.headers["x-routex-channel"], raw.headers["x-routex-model"], raw.headers["x-routex-attempts"]

    assert headers("public-name") == ("renaming", "upstream-name", "1")
    assert upstream.seen("upstream-name") and not upstream.seen("public-name")
    assert headers("smart") == ("openai-main", "known-openai", "1")
    assert headers("openai-main/fake-pinned") == ("openai-main", "fake-pinned", "1")
    assert headers("openai-main,fake-comma") == ("openai-main", "fake-comma", "1")


async def _async_journey(client, model):
    async with client:
        whole = await client.chat.completions.create(model=model, messages=MESSAGES)
        stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        words = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        response = await client.responses.create(model=model, input=TEXT)
        async with client.responses.stream(model=model, input=TEXT) as events:
            streamed = await events.get_final_response()
        vectors = await client.embeddings.create(model=model, input="a")
        listed = [card.id async for card in client.models.list()]
    return whole, "".join(words), response, streamed, vectors, listed


@pytest.mark.asyncio
async def test_the_async_client_takes_the_same_journey(gateway, shopper, model):
    client = openai.AsyncOpenAI(api_key=shopper.key, base_url=f"{gateway.url}/v1", max_retries=0)
    whole, words, response, streamed, vectors, listed = await _async_journey(client, model)
    assert whole.choices[0].message.content == words == response.output_text == streamed.output_text == TEXT
    assert len(vectors.data) == 1 and "known-openai" in listed
