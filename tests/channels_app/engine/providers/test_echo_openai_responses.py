"""Echo's responses, judged by the official client."""

import json

import openai
import pytest

pytestmark = pytest.mark.asyncio

TOOL = {
    "type": "function",
    "name": "get_weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def events_of(client, **options):
    stream = await client.responses.create(model="echo", stream=True, **options)
    return [event async for event in stream]


async def test_whole_answer_repeats_the_input(openai_client):
    answer = await openai_client.responses.create(model="echo", input="hello there", instructions="Be brief.")
    assert answer.output_text == "hello there"
    assert answer.status == "completed"
    assert answer.incomplete_details is None
    assert answer.id.startswith("resp_")
    assert answer.output[0].id.startswith("msg_")
    assert answer.model == "echo"
    assert answer.instructions == "Be brief."
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (5, 3, 8)


async def test_items_are_read_and_images_mentioned(openai_client):
    answer = await openai_client.responses.create(
        model="echo",
        input=[
            {"role": "user", "content": "first"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None},
            {"role": "assistant", "content": [{"type": "output_text", "text": "first"}]},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "what is this"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                ],
            },
        ],
    )
    assert answer.output_text == "what is this [image]"


async def test_stream_follows_the_grammar(openai_client):
    events = await events_of(openai_client, input="one two")
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    added, done, completed = events[2], events[-2], events[-1]
    assert (added.item.id, added.item.type) == (done.item.id, done.item.type)
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {added.item.id}
    assert completed.response.output == [done.item]
    assert completed.response.id == events[0].response.id
    assert events[0].response.status == "in_progress"
    assert events[0].response.usage is None
    assert completed.response.usage.total_tokens == 4


async def test_streamed_text_adds_up_in_the_official_accumulator(openai_client):
    async with openai_client.responses.stream(model="echo", input="one two three") as stream:
        final = await stream.get_final_response()
    assert final.output_text == "one two three"
    assert final.status == "completed"


async def test_streamed_tool_call_adds_up_in_the_official_accumulator(openai_client):
    async with openai_client.responses.stream(model="echo", input="call tool", tools=[TOOL]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds.count("response.function_call_arguments.delta") > 1
    assert kinds.count("response.function_call_arguments.done") == 1
    [call] = final.output
    assert call.id.startswith("fc_")
    assert call.call_id.startswith("call_")
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "text"}
    assert final.tools[0].name == "get_weather"


async def test_limit_of_tokens_leaves_the_response_incomplete(openai_client):
    answer = await openai_client.responses.create(model="echo", input="one two three", max_output_tokens=2)
    assert answer.output_text == "one two"
    assert answer.status == "incomplete"
    assert answer.output[0].status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    last = (await events_of(openai_client, input="one two three", max_output_tokens=2))[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_tool_is_called_and_its_result_repeated(openai_client):
    asked = [{"role": "user", "content": "call tool"}]
    answer = await openai_client.responses.create(model="echo", input=asked, tools=[TOOL])
    [call] = answer.output
    assert answer.status == "completed"
    answered = [
        *asked,
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 °C"},
    ]
    final = await openai_client.responses.create(model="echo", input=answered, tools=[TOOL])
    assert final.output_text == "The tool answered: 21 °C"


async def test_no_tool_is_called_when_forbidden(openai_client):
    answer = await openai_client.responses.create(model="echo", input="call tool", tools=[TOOL], tool_choice="none")
    assert answer.output_text == "call tool"


async def test_hosted_tools_are_never_called(openai_client):
    answer = await openai_client.responses.create(model="echo", input="call tool", tools=[{"type": "web_search"}])
    assert answer.output_text == "call tool"


async def test_fault_is_the_right_exception(openai_client):
    with pytest.raises(openai.RateLimitError) as caught:
        await openai_client.responses.create(model="echo-429", input="hello")
    assert caught.value.code == "rate_limit_exceeded"
