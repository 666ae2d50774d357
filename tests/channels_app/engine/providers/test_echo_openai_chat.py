"""Echo's chat completions, judged by the official client."""

import json

import openai
import pytest

from channels_app.engine.providers.echo import Echo

pytestmark = pytest.mark.asyncio

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "days"],
        },
    },
}


def user(text):
    return [{"role": "user", "content": text}]


async def chunks_of(client, **options):
    stream = await client.chat.completions.create(model="echo", stream=True, **options)
    return [chunk async for chunk in stream]


async def test_whole_answer_repeats_the_last_user_text(openai_client):
    answer = await openai_client.chat.completions.create(
        model="my/echo",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "first"},
            {"role": "user", "content": "  Grüße, 世界!\n\nsecond 🙂 "},
        ],
    )
    assert answer.choices[0].message.content == "  Grüße, 世界!\n\nsecond 🙂 "
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.model == "my/echo"
    assert answer.id.startswith("chatcmpl-")
    assert answer._request_id


async def test_usage_is_an_estimate_that_does_not_change(openai_client):
    usages = [
        (await openai_client.chat.completions.create(model="echo", messages=user("x" * 40))).usage for _ in range(2)
    ]
    assert (usages[0].prompt_tokens, usages[0].completion_tokens, usages[0].total_tokens) == (10, 10, 20)
    assert usages[0] == usages[1]


async def test_parts_are_joined_and_images_mentioned(openai_client):
    parts = [
        {"type": "text", "text": "what is"},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}},
        {"type": "text", "text": "this"},
    ]
    answer = await openai_client.chat.completions.create(model="echo", messages=user(parts))
    assert answer.choices[0].message.content == "what is this [image]"


async def test_stream_gives_one_word_a_chunk_and_the_same_text(openai_client):
    text = "  one two\nthree  "
    chunks = await chunks_of(openai_client, messages=user(text))
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert words == ["  one", " two", "\nthree  "]
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1


async def test_stream_gives_usage_only_to_those_who_ask(openai_client):
    without = await chunks_of(openai_client, messages=user("one two"))
    assert all(chunk.usage is None and chunk.choices for chunk in without)
    assert all("usage" not in chunk.model_fields_set for chunk in without)
    refused = await chunks_of(openai_client, messages=user("one two"), stream_options={"include_usage": False})
    assert all(chunk.choices for chunk in refused)

    asked = await chunks_of(openai_client, messages=user("one two"), stream_options={"include_usage": True})
    assert all("usage" in chunk.model_fields_set for chunk in asked)
    assert [chunk.usage is None for chunk in asked] == [True] * (len(asked) - 1) + [False]
    assert asked[-1].choices == []
    assert asked[-1].usage.total_tokens == 4


async def test_stream_ends_with_done(ask):
    answer = await ask("openai-chat", is_stream=True)
    body = b"".join([chunk async for chunk in answer.chunks])
    assert body.endswith(b"\n\ndata: [DONE]\n\n")
    assert body.count(b"[DONE]") == 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_limit_of_tokens_cuts_at_that_many_words(openai_client, name):
    answer = await openai_client.chat.completions.create(
        model="echo", messages=user("extraordinarily long words here"), **{name: 2}
    )
    assert answer.choices[0].message.content == "extraordinarily long"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2
    streamed = await chunks_of(openai_client, messages=user("one two three"), **{name: 2})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "one two"
    assert streamed[-1].choices[0].finish_reason == "length"


async def test_limit_that_fits_does_not_cut(openai_client):
    answer = await openai_client.chat.completions.create(model="echo", messages=user("one two "), max_tokens=2)
    assert answer.choices[0].message.content == "one two "
    assert answer.choices[0].finish_reason == "stop"


async def test_tool_is_called_when_asked_to(openai_client):
    answer = await openai_client.chat.completions.create(
        model="echo", messages=user("Please CALL TOOL now"), tools=[TOOL]
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "text", "days": 1}


async def test_streamed_tool_call_adds_up_in_the_official_accumulator(openai_client):
    async with openai_client.chat.completions.stream(
        model="echo", messages=user("call tool"), tools=[TOOL], stream_options={"include_usage": True}
    ) as stream:
        deltas = [event async for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = await stream.get_final_completion()
    assert len(deltas) > 1
    [call] = final.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "text", "days": 1}
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage.completion_tokens > 1


async def test_streamed_text_adds_up_in_the_official_accumulator(openai_client):
    async with openai_client.chat.completions.stream(model="echo", messages=user("one two three")) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "one two three"
    assert final.choices[0].message.role == "assistant"


async def test_no_tool_is_called_without_the_words_or_when_forbidden(openai_client):
    plain = await openai_client.chat.completions.create(model="echo", messages=user("hello"), tools=[TOOL])
    assert plain.choices[0].message.content == "hello"
    forbidden = await openai_client.chat.completions.create(
        model="echo", messages=user("call tool"), tools=[TOOL], tool_choice="none"
    )
    assert forbidden.choices[0].message.content == "call tool"
    assert forbidden.choices[0].message.tool_calls is None


async def test_tool_results_are_repeated(openai_client):
    messages = user("call tool")
    for _ in range(2):
        answer = await openai_client.chat.completions.create(model="echo", messages=messages, tools=[TOOL])
        message = answer.choices[0].message
        if not message.tool_calls:
            break
        messages += [
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 °C"},
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": [{"type": "text", "text": "dry"}]},
        ]
    assert answer.choices[0].message.content == "The tool answered: 21 °C dry"
    assert answer.choices[0].finish_reason == "stop"


async def test_conversation_without_any_text_still_gets_an_answer(openai_client):
    for messages in (user(""), [{"role": "system", "content": "Be brief."}]):
        answer = await openai_client.chat.completions.create(model="echo", messages=messages)
        assert answer.choices[0].message.content == "You sent no text."


async def test_faults_are_the_right_exceptions(openai_client):
    async def fail(model):
        with pytest.raises(openai.APIStatusError) as caught:
            await openai_client.chat.completions.create(model=model, messages=user("hello"))
        return caught.value

    limited = await fail("echo-429")
    assert isinstance(limited, openai.RateLimitError)
    assert limited.response.headers["retry-after"] == "2"
    assert (limited.type, limited.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert isinstance(await fail("echo-400"), openai.BadRequestError)
    assert isinstance(await fail("echo-500"), openai.InternalServerError)
    assert (await fail("echo-529")).status_code == 529
    assert (await fail("echo-500")).type == "server_error"


@pytest.mark.parametrize("text", ["", "x", "one two " * 900, "Grüße, 世界! 🙂" * 50, "call tool", '"\\\n' * 40])
@pytest.mark.parametrize("image", [False, True])
async def test_no_answer_is_longer_than_echo_says_it_can_be(openai_client, text, image):
    content = [{"type": "text", "text": text}]
    if image:
        content.append({"type": "image_url", "image_url": {"url": "https://x/a.png"}})
    asked = {"messages": [{"role": "user", "content": content}], "tools": [TOOL]}
    answer = await openai_client.chat.completions.create(model="echo", **asked)
    size = len(json.dumps({"model": "echo", **asked}, ensure_ascii=False).encode())
    assert answer.usage.completion_tokens <= Echo().most_output("openai-chat", "echo", size)
