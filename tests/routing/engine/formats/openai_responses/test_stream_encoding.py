import json

import pytest

from analytics.engine.record import Usage
from routing.engine.errors import BadRequest, GatewayError, Overloaded, RateLimited
from routing.engine.messages import (
    Began,
    Citation,
    Cited,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    TextDelta,
    TextState,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from tests.routing.engine.formats.openai_responses.wire import (
    CODEC,
    NAME,
    accumulated,
    client,
    exchange,
    sent,
    state,
    tell,
)

BEGAN = Began("chatcmpl-1", "up", 1790000000)
STOP = (Finished(Finish("stop")), Ended())


def kinds(body: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in sent(body)]


def output(*events) -> list[dict]:
    """Return the output that the SDK's accumulator ends with; the wire's own must list the same items."""
    body = tell([BEGAN, *events, *STOP])
    final = accumulated(body)
    assert [item["id"] for item in sent(body)[-1]["response"]["output"]] == [item["id"] for item in final["output"]]
    return final["output"]


def test_a_text_from_its_beginning_to_its_end():
    body = tell([BEGAN, TextDelta("Hi "), TextDelta("you"), Finished(Finish("stop")), Ended()])
    assert kinds(body) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    events = sent(body)
    assert {event["response"]["id"] for event in events if "response" in event} == {"resp_1"}
    assert events[-1]["response"]["model"] == "asked"
    assert events[-1]["response"]["created_at"] == 1790000000
    assert accumulated(body)["output"][0]["content"][0]["text"] == "Hi you"


def test_the_end_waits_for_late_usage():
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=64, reasoning_tokens=5)
    events = [BEGAN, TextDelta("a"), Finished(Finish("stop")), UsageReport(Usage()), UsageReport(usage), Ended()]
    final = accumulated(tell(events))
    assert final["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }


def test_only_calls_make_no_message():
    body = tell([BEGAN, ToolBegan(0, "c", "f"), ToolDelta(0, '{"cmd"'), ToolDelta(0, ':"ls"}'), *STOP])
    assert kinds(body)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    (call,) = accumulated(body)["output"]
    assert (call["type"], call["call_id"], call["arguments"]) == ("function_call", "c", '{"cmd":"ls"}')


def test_a_call_without_arguments_has_an_empty_object():
    (call,) = output(ToolBegan(0, "c", "f"), ToolEnded(0))
    assert call["arguments"] == "{}"


def test_calls_may_take_turns():
    one, other = output(
        ToolBegan(0, "c0", "f"),
        ToolBegan(1, "c1", "g"),
        ToolDelta(1, "[1"),
        ToolDelta(0, "[0"),
        ToolDelta(1, "]"),
        ToolDelta(0, "]"),
        ToolEnded(1),
        ToolEnded(0),
    )
    assert (one["arguments"], other["arguments"]) == ("[0]", "[1]")


def test_calls_with_one_id_get_their_own():
    one, other = output(ToolBegan(0, "c", "f"), ToolBegan(1, "c", "f"))
    assert one["call_id"] == "c" != other["call_id"]


def test_free_text_tools():
    body = tell([BEGAN, ToolBegan(0, "c", "p", is_custom=True), ToolDelta(0, "*** Begin\nPatch"), *STOP])
    assert "custom_tool_call_input.delta" in kinds(body)
    assert "custom_tool_call_input.done" in kinds(body)
    (call,) = accumulated(body)["output"]
    assert (call["type"], call["input"]) == ("custom_tool_call", "*** Begin\nPatch")


def test_reasoning_parts_and_its_state():
    body = tell(
        [
            BEGAN,
            ReasoningDelta("pl"),
            ReasoningDelta("an"),
            ReasoningDelta("how", part=1),
            ReasoningState(state("SIG", format="anthropic")),
            TextDelta("Hi"),
            *STOP,
        ]
    )
    part = ["summary_part.added", "summary_text.delta", "summary_text.done", "summary_part.done"]
    first = [part[0], part[1], *part[1:]]
    assert kinds(body)[2:13] == [
        "output_item.added",
        *(f"reasoning_{kind}" for kind in first + part),
        "output_item.done",
    ]
    reasoning, message = accumulated(body)["output"]
    assert [each["text"] for each in reasoning["summary"]] == ["plan", "how"]
    assert reasoning["encrypted_content"].startswith("rtx1:anthropic:")
    done = next(event for event in sent(body) if event["type"] == "response.output_item.done")
    assert done["item"]["encrypted_content"] == reasoning["encrypted_content"]
    assert message["content"][0]["text"] == "Hi"


def test_words_of_thinking_are_content():
    (reasoning,) = output(ReasoningDelta("w", is_verbatim=True), PartEnded())
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "w"}]
    assert reasoning["summary"] == []


def test_thinking_that_ended_is_an_item_of_its_own():
    one, other = output(ReasoningDelta("a"), PartEnded(), ReasoningDelta("b"))
    assert (one["summary"][0]["text"], other["summary"][0]["text"]) == ("a", "b")


def test_hidden_thinking_is_an_item_with_nothing_but_its_state():
    (reasoning,) = output(ReasoningState(state("D", format="anthropic"), is_redacted=True))
    assert reasoning["summary"] == []
    assert reasoning["encrypted_content"]


def test_thinking_and_text_in_turns_are_items_in_their_order():
    items = output(
        ReasoningDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta("d"), ToolBegan(0, "c", "f"), TextDelta("e")
    )
    assert [item["type"] for item in items] == [
        "reasoning",
        "message",
        "reasoning",
        "message",
        "function_call",
        "message",
    ]


def test_texts_in_a_row_are_parts_of_one_message_and_phases_are_messages():
    one, other = output(
        TextDelta("a"),
        PartEnded(),
        TextDelta("b"),
        TextDelta("no", is_refusal=True),
        TextDelta("c", phase="final_answer"),
    )
    assert [part.get("text") or part.get("refusal") for part in one["content"]] == ["a", "b", "no"]
    assert (other["phase"], other["content"][0]["text"]) == ("final_answer", "c")


def test_refusals():
    body = tell([BEGAN, TextDelta("n", is_refusal=True), TextDelta("o", is_refusal=True), *STOP])
    assert kinds(body)[3:7] == ["content_part.added", "refusal.delta", "refusal.delta", "refusal.done"]
    assert accumulated(body)["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_sources_and_log_probabilities_stand_at_their_text():
    tokens = [{"token": "two", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "x", "logprob": -1}]}]
    (message,) = output(
        TextDelta("one "),
        PartEnded(),
        TextDelta("two"),
        LogprobsDelta(tokens),
        Cited(Citation("https://e.com", "E", 4, 7)),
    )
    part = message["content"][1]
    assert part["annotations"] == [
        {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 0, "end_index": 3}
    ]
    assert part["logprobs"][0]["top_logprobs"][0]["token"] == "x"


def test_states_of_calls_and_texts_have_items():
    items = output(
        ReasoningDelta("why"),
        ToolBegan(0, "c", "f", state=state("A", format="gemini")),
        ToolBegan(1, "d", "f", state=state("B", format="gemini")),
        TextDelta("t"),
        TextState(state("C", format="gemini")),
    )
    kinds = ["reasoning", "function_call", "reasoning", "function_call", "message", "reasoning"]
    assert [item["type"] for item in items] == kinds
    assert all(item.get("encrypted_content") for item in items if item["type"] == "reasoning")


def test_pictures_and_native_items_come_whole():
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    search, picture = output(
        PartMade(Native(NAME, "web_search_call", item)),
        PartMade(Media("image", "image/webp", data="AAA")),
        PartMade(Native("gemini", "executableCode", {})),
    )
    assert search["id"] == "ws_1"
    assert (picture["result"], picture["output_format"]) == ("AAA", "webp")


@pytest.mark.parametrize(
    ("finish", "kind", "reason"),
    [
        (Finish("length"), "response.incomplete", "max_output_tokens"),
        (Finish("filter"), "response.incomplete", "content_filter"),
    ],
)
def test_answers_cut_short_are_incomplete(finish, kind, reason):
    events = sent(tell([BEGAN, TextDelta("a"), ToolBegan(0, "c", "f"), ToolDelta(0, '{"a'), Finished(finish), Ended()]))
    assert events[-1]["type"] == kind
    response = events[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["output"][1]["arguments"] == '{"a'


def test_an_empty_answer_says_why():
    (message,) = output(Finished(Finish("other", message="Why.")))
    assert message["content"][0]["text"] == "Why."
    assert output() == []


def test_a_stream_that_begins_without_a_beginning_has_one():
    assert kinds(tell([TextDelta("a"), *STOP]))[:2] == ["created", "in_progress"]


def test_other_answers_to_the_same_question_are_left_out():
    (message,) = output(TextDelta("a"), TextDelta("b", choice=1))
    assert message["content"][0]["text"] == "a"


# --- failures -------------------------------------------------------------------------------------------------------


def broken(error: GatewayError, *events) -> bytes:
    encoder = CODEC.stream_encoder(exchange())
    return b"".join(encoder.encode(event) for event in events) + encoder.fail(error, "req_9")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimited("slow down"), "rate_limit_exceeded"),
        (Overloaded("busy"), "server_is_overloaded"),
        (BadRequest("too long", code="context_length_exceeded"), "context_length_exceeded"),
        (BadRequest("odd"), "invalid_prompt"),
        (GatewayError("It broke."), "server_error"),
    ],
)
def test_failures_have_a_code_of_the_closed_set(error, code):
    events = []
    for block in broken(error, BEGAN, TextDelta("a")).split(b"\n\n"):
        if block:
            events.append(json.loads(block.partition(b"\ndata: ")[2]))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    failed = events[-1]
    assert [event["type"] for event in events if event["type"] in {"error", "response.failed"}] == ["response.failed"]
    assert failed["response"]["id"] == events[0]["response"]["id"]
    told = failed["response"]["error"]
    assert (told["code"], told["message"]) == (code, error.message)
    assert (told["reason"], told["request_id"]) == (error.code, "req_9")


def test_a_failure_before_anything_begins_the_stream():
    body = broken(GatewayError("m"))
    assert kinds(body) == ["created", "in_progress", "failed"]


def test_the_sdk_hands_out_the_failed_response():
    body = broken(RateLimited("slow down"), BEGAN, TextDelta("a"))
    with client(body).responses.stream(model="m", input="x") as stream:
        last = list(stream)[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert (last.response.error.code, last.response.error.message) == ("rate_limit_exceeded", "slow down")


def test_deltas_do_not_grow_with_the_text_before_them():
    encoder = CODEC.stream_encoder(exchange())
    encoder.encode(BEGAN)
    sizes = [len(encoder.encode(TextDelta("word"))) for _ in range(2000)]
    assert sizes[-1] - sizes[1] == len("2000") - len("5")
