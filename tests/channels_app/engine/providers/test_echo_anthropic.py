"""Echo's messages and count of tokens, judged by the official client."""

import anthropic
import pytest

pytestmark = pytest.mark.asyncio

TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def asking(text, **options):
    return {"model": "echo", "max_tokens": 99, "messages": [{"role": "user", "content": text}], **options}


async def test_whole_answer_repeats_the_last_user_text(anthropic_client):
    answer = await anthropic_client.messages.create(
        model="echo",
        max_tokens=99,
        system=[{"type": "text", "text": "Be brief."}],
        messages=[
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "first"},
            {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]},
        ],
    )
    [block] = answer.content
    assert block.text == "hello there"
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "echo")
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert answer.id.startswith("msg_")
    assert answer._request_id.startswith("req_")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8, 3)


async def test_images_are_mentioned(anthropic_client):
    picture = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}
    answer = await anthropic_client.messages.create(**asking([picture, {"type": "text", "text": "what is this"}]))
    assert answer.content[0].text == "what is this [image]"


async def test_stream_follows_the_grammar(ask):
    answer = await ask("anthropic", is_stream=True)
    body = b"".join([chunk async for chunk in answer.chunks]).decode()
    assert [line.removeprefix("event: ") for line in body.splitlines() if line.startswith("event: ")] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_streamed_text_adds_up_in_the_official_accumulator(anthropic_client):
    async with anthropic_client.messages.stream(**asking("one two three")) as stream:
        words = [word async for word in stream.text_stream]
        final = await stream.get_final_message()
    assert words == ["one", " two", " three"]
    assert final.content[0].text == "one two three"
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (4, 4)


async def test_streamed_tool_call_adds_up_in_the_official_accumulator(anthropic_client):
    async with anthropic_client.messages.stream(**asking("call tool", tools=[TOOL])) as stream:
        deltas = [event async for event in stream if event.type == "input_json"]
        final = await stream.get_final_message()
    assert len(deltas) > 1
    [block] = final.content
    assert block.id.startswith("toolu_")
    assert (block.name, block.input) == ("get_weather", {"city": "text"})
    assert final.stop_reason == "tool_use"


async def test_limit_of_tokens_cuts_at_that_many_words(anthropic_client):
    answer = await anthropic_client.messages.create(**asking("one two three", max_tokens=2))
    assert answer.content[0].text == "one two"
    assert answer.stop_reason == "max_tokens"
    async with anthropic_client.messages.stream(**asking("one two three", max_tokens=2)) as stream:
        final = await stream.get_final_message()
    assert final.content[0].text == "one two"
    assert final.stop_reason == "max_tokens"


async def test_no_room_for_a_word_leaves_no_block(anthropic_client):
    answer = await anthropic_client.messages.create(**asking("one", max_tokens=0))
    assert (answer.content, answer.stop_reason, answer.usage.output_tokens) == ([], "max_tokens", 0)
    async with anthropic_client.messages.stream(**asking("one", max_tokens=0)) as stream:
        final = await stream.get_final_message()
    assert (final.content, final.stop_reason, final.usage.output_tokens) == ([], "max_tokens", 0)


async def test_tool_is_called_and_its_result_repeated(anthropic_client):
    answer = await anthropic_client.messages.create(**asking("call tool", tools=[TOOL]))
    [call] = answer.content
    assert (answer.stop_reason, call.input) == ("tool_use", {"city": "text"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21 °C"}]}
    final = await anthropic_client.messages.create(
        model="echo",
        max_tokens=99,
        tools=[TOOL],
        messages=[
            {"role": "user", "content": "call tool"},
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result, {"type": "text", "text": "(do not call tool again)"}]},
        ],
    )
    assert final.content[0].text == "The tool answered: 21 °C (do not call tool again)"
    assert final.stop_reason == "end_turn"


async def test_no_tool_is_called_when_forbidden_or_run_by_the_server(anthropic_client):
    for options in ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [{"type": "x", "name": "search"}]}):
        answer = await anthropic_client.messages.create(**asking("call tool", **options))
        assert answer.content[0].text == "call tool"


async def test_count_is_what_the_answer_reports(anthropic_client):
    asked = asking("how many tokens is this?", system="Be brief.")
    answer = await anthropic_client.messages.create(**asked)
    del asked["max_tokens"]
    counted = await anthropic_client.messages.count_tokens(**asked)
    assert counted.input_tokens == answer.usage.input_tokens == 9


async def test_faults_are_the_right_exceptions(anthropic_client):
    async def fail(model):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await anthropic_client.messages.create(**asking("hello") | {"model": model})
        return caught.value

    limited = await fail("echo-429")
    assert isinstance(limited, anthropic.RateLimitError)
    assert limited.response.headers["retry-after"] == "2"
    assert limited.body["error"]["type"] == "rate_limit_error"
    assert limited.body["request_id"] == limited.request_id
    assert isinstance(await fail("echo-400"), anthropic.BadRequestError)
    assert (await fail("echo-500")).body["error"]["type"] == "api_error"
    overloaded = await fail("echo-529")
    assert (overloaded.status_code, overloaded.body["error"]["type"]) == (529, "overloaded_error")


async def test_count_has_faults_too(anthropic_client):
    with pytest.raises(anthropic.RateLimitError):
        await anthropic_client.messages.count_tokens(model="echo-429", messages=[{"role": "user", "content": "hello"}])
