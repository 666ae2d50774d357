import json
import time

import pytest

from analytics.engine.record import Usage
from routing.engine.answers import Collector
from routing.engine.messages import (
    Began,
    Choice,
    Citation,
    Cited,
    Ended,
    Failed,
    Finish,
    Finished,
    Native,
    PartEnded,
    PartMade,
    Reasoning,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.sse import EventTooLarge
from tests.routing.engine.formats.anthropic.exchanges import (
    CODEC,
    CUTS,
    block,
    decoded,
    end,
    event,
    exchange,
    pieces,
    start,
    state,
    text,
)

pytestmark = pytest.mark.parametrize("size", CUTS)


def answered(body, size):
    collector = Collector()
    collector.take(decoded(body, size))
    assert collector.failure is None
    assert collector.is_complete
    return collector.answer()


def parts(body, size):
    return answered(start() + body + end(), size).choices[0].parts


def test_a_message_whose_start_comes_late_has_begun_once(size):
    events = decoded(text(0, "x") + start(input_tokens=7, output_tokens=1) + end(), size)
    assert events[:2] == [Began(), TextDelta("x")] and events.count(Began()) == 1
    assert [event.usage.input_tokens for event in events if isinstance(event, UsageReport)][-1] == 7


def test_an_event_that_is_no_json_ends_everything_whatever_it_begins_with(size):
    for broken in (b"{broken", b"[[broken", b"[" * 3000):
        body = start() + b"data: " + broken + b"\n\n" + text(0, "x") + end()
        assert decoded(body, size)[-1] == Failed("malformed event in the stream")


def test_a_call_without_a_name_ends_everything(size):
    nameless = block(0, {"type": "tool_use", "id": "toolu_1", "name": None, "input": {}})
    assert decoded(start() + nameless + end(), size)[-1] == Failed("the upstream called a tool without a name")


def test_a_plain_object_without_an_answer_is_no_answer(size):
    assert Ended() not in decoded(b'{"content":null}', size)
    assert Ended() not in decoded(b'{"content":[]}', size)


def test_an_event_that_is_no_object_is_passed_over(size):
    assert answered(start() + b"data: [1]\n\n" + text(0, "x") + end(), size).choices[0].parts


def test_a_whole_stream(size):
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    body = (
        start(input_tokens=20, output_tokens=1, cache_read_input_tokens=5)
        + event("ping")
        + block(
            0,
            thinking,
            {"type": "thinking_delta", "thinking": "h"},
            {"type": "thinking_delta", "thinking": "m"},
            {"type": "signature_delta", "signature": "sig"},
        )
        + b": comment\n\n"
        + text(1, "Hé", "llo")
        + block(
            2,
            call,
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"a"'},
            {"type": "input_json_delta", "partial_json": ": 1}"},
        )
        + end("tool_use", output_tokens=30, output_tokens_details={"thinking_tokens": 10})
    )
    answer = answered(body, size)
    assert (answer.id, answer.model) == ("msg_up", "claude-up")
    assert answer.choices == (
        Choice(
            (Reasoning(("hm",), state("sig")), Text("Héllo"), ToolCall("toolu_1", "f", '{"a": 1}')),
            Finish("tool_calls"),
        ),
    )
    assert answer.usage == Usage(input_tokens=25, output_tokens=30, cache_read_tokens=5, reasoning_tokens=10)


def test_the_order_of_events(size):
    assert decoded(start() + text(0, "x") + end(), size) == [
        Began("msg_up", "claude-up", usage=Usage(input_tokens=5, output_tokens=1)),
        UsageReport(Usage(input_tokens=5, output_tokens=1)),
        TextDelta("x"),
        PartEnded(),
        UsageReport(Usage(input_tokens=5, output_tokens=9)),
        Finished(Finish("stop")),
        UsageReport(Usage(input_tokens=5, output_tokens=9)),
        Ended(),
    ]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_line_ends(size, line_end):
    body = start() + text(0, "Line\u2028sep 中文🙂") + end()
    assert answered(body.replace(b"\n", line_end), size).choices[0].parts == (Text("Line\u2028sep 中文🙂"),)


def test_events_without_a_name_are_known_by_their_type(size):
    body = (start() + text(0, "x") + end()).replace(b"event: ", b": ")
    assert answered(body, size).choices[0].parts == (Text("x"),)


def test_an_end_without_message_stop_and_without_a_last_line_end(size):
    whole = start() + text(0, "x") + event("message_delta", delta={"stop_reason": "end_turn"}, usage={})
    assert answered(whole, size).choices[0].finish == Finish("stop")
    assert answered((whole + event("message_stop")).rstrip(), size).choices[0].finish == Finish("stop")


def test_a_stream_that_breaks_off_has_no_end(size):
    body = start() + text(0, "x") + event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3})
    whole = body + end()
    for cut in range(len(body)):
        events = decoded(whole[:cut], size)
        assert not any(isinstance(each, Ended | Failed) for each in events)


def test_several_reports_of_usage(size):
    body = (
        start(input_tokens=10, output_tokens=1, cache_creation_input_tokens=3)
        + event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 5, "input_tokens": None})
        + event("message_delta", delta={"stop_reason": "max_tokens"}, usage={"input_tokens": 11, "output_tokens": 7})
        + event("message_stop")
    )
    answer = answered(body, size)
    assert answer.usage == Usage(input_tokens=14, output_tokens=7, cache_write_tokens=3)
    assert answer.choices[0].finish == Finish("length")


def test_what_is_unknown_or_repeated_is_passed_over(size):
    body = start() + start() + event("of_the_future", x=1) + b"data: [DONE]\n\n" + text(0, "x") + end() + text(1, "y")
    assert answered(body + end(), size).choices[0].parts == (Text("x"),)


def test_a_stop_sequence(size):
    delta = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    body = start() + event("message_delta", delta=delta, usage={}) + event("message_stop")
    assert answered(body, size).choices[0].finish == Finish("stop_sequence", "END")


# --- blocks --------------------------------------------------------------------------------------------------------


def test_whole_blocks_without_deltas(size):
    assert parts(
        block(0, {"type": "thinking", "thinking": "plan", "signature": "sig"})
        + block(1, {"type": "text", "text": "hi"})
        + block(2, {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}})
        + block(3, {"type": "redacted_thinking", "data": "dark"}),
        size,
    ) == (
        Reasoning(("plan",), state("sig")),
        Text("hi"),
        ToolCall("t1", "f", '{"a":1}'),
        Reasoning(state=state("dark", "redacted"), is_redacted=True),
    )


def test_thinking_that_is_not_shown_or_not_signed(size):
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    assert parts(
        block(0, thinking, {"type": "signature_delta", "signature": "sig"})
        + block(1, thinking, {"type": "thinking_delta", "thinking": "a"})
        + block(2, thinking, {"type": "thinking_delta", "thinking": "b", "signature": "sig2"})
        + block(3, thinking),
        size,
    ) == (Reasoning(state=state("sig")), Reasoning(("a",)), Reasoning(("b",), state("sig2")))


def test_input_in_pieces_outranks_the_announced_one(size):
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 0}}
    assert parts(block(0, call, {"type": "input_json_delta", "partial_json": '{"a":1}'}), size) == (
        ToolCall("t1", "f", '{"a":1}'),
    )
    assert parts(block(0, call, {"type": "input_json_delta", "partial_json": {"a": 2}}), size) == (
        ToolCall("t1", "f", '{"a":2}'),
    )


def test_a_call_without_arguments_has_no_delta(size):
    body = start() + block(0, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}) + end("tool_use")
    assert [each for each in decoded(body, size) if isinstance(each, ToolBegan | ToolDelta | ToolEnded)] == [
        ToolBegan(0, "t1", "f"),
        ToolEnded(0),
    ]


def test_ids_are_there_and_differ(size):
    call = {"type": "tool_use", "name": "f", "input": {}}
    made = parts(block(0, {**call, "id": "t"}) + block(1, {**call, "id": "t"}) + block(2, call), size)
    assert len({part.id for part in made} - {""}) == 3


def test_tools_that_the_upstream_runs(size):
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"type": "web_search_result"}]}
    compaction = {"type": "compaction", "content": None}
    body = start() + block(0, search, {"type": "input_json_delta", "partial_json": '{"query": '})
    body = body.replace(b'"query\\": "', b'"query\\": \\"q\\"}"') + block(1, found)
    body += block(2, compaction, {"type": "compaction_delta", "content": "so far"}) + end()
    assert [each for each in decoded(body, size) if isinstance(each, PartMade)] == [
        PartMade(Native("anthropic", "server_tool_use", {**search, "input": {"query": "q"}})),
        PartMade(Native("anthropic", "web_search_tool_result", found)),
        PartMade(Native("anthropic", "compaction", {"type": "compaction", "content": "so far"})),
    ]


def test_citations_are_told_when_their_text_is_whole(size):
    web = {"type": "web_search_result_location", "url": "https://e.com", "title": "T", "cited_text": "q"}
    deltas = ({"type": "citations_delta", "citation": web}, {"type": "text_delta", "text": "de"})
    body = start() + text(0, "abc") + block(1, {"type": "text", "text": ""}, *deltas) + end()
    events = decoded(body, size)
    at = events.index(Cited(Citation("https://e.com", "T", 3, 5, "q", web, "anthropic")))
    assert events[at - 1 : at + 2] == [TextDelta("de"), events[at], PartEnded()]


def test_halves_of_a_character_are_joined(size):
    def half(kind, member, said):
        delta = b'{"type":"%s","%s":"%s"}' % (kind, member, said)
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":%s}\n\n' % delta

    def begin(said):
        return start() + event("content_block_start", index=0, content_block=said)

    stop = event("content_block_stop", index=0) + end()
    told = half(b"text_delta", b"text", b"a\\ud83d") + half(b"text_delta", b"text", b"\\ude42b")
    assert answered(begin({"type": "text", "text": ""}) + told + stop, size).choices[0].parts == (Text("a🙂b"),)
    alone = half(b"text_delta", b"text", b"a\\ud83d")
    assert answered(begin({"type": "text", "text": ""}) + alone + stop, size).choices[0].parts == (Text("a�"),)
    told = half(b"thinking_delta", b"thinking", b"\\ud83d") + half(b"thinking_delta", b"thinking", b"\\ude42")
    thought = begin({"type": "thinking", "thinking": "", "signature": ""})
    assert answered(thought + told + stop, size).choices[0].parts == (Reasoning(("🙂",)),)
    told = half(b"input_json_delta", b"partial_json", b'{\\"a\\":\\"\\ud83d') + half(
        b"input_json_delta", b"partial_json", b'\\ude42\\"}'
    )
    call = begin({"type": "tool_use", "id": "t", "name": "f", "input": {}})
    assert answered(call + told + stop, size).choices[0].parts == (ToolCall("t", "f", '{"a":"🙂"}'),)


# --- what upstreams get wrong --------------------------------------------------------------------------------------


def test_blocks_that_were_not_announced_or_not_ended(size):
    body = event("content_block_delta", index=4, delta={"type": "thinking_delta", "thinking": "a"})
    body += event("content_block_delta", index=7, delta={"type": "text_delta", "text": "b"})
    body += event("content_block_start", index=8, content_block={"type": "tool_use", "id": "t", "name": "f"})
    body += event("content_block_delta", index=8, delta={"type": "input_json_delta", "partial_json": "{}"})
    assert answered(body + end("tool_use"), size).choices[0].parts == (
        Reasoning(("a",)),
        Text("b"),
        ToolCall("t", "f", "{}"),
    )


def test_a_delta_belongs_where_its_type_says(size):
    told = event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})
    told += event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "a"})
    told += event("content_block_delta", index=0, delta={"type": "text_delta", "text": "b"})
    assert parts(told + event("content_block_stop", index=0), size) == (Reasoning(("a",)), Text("b"))


def test_calls_that_take_turns(size):
    told = b"".join(
        event("content_block_start", index=at, content_block={"type": "tool_use", "id": f"t{at}", "name": "f"})
        for at in (0, 1)
    )
    for at, piece in ((0, '{"a"'), (1, '{"b"'), (0, ":0}"), (1, ":1}")):
        told += event("content_block_delta", index=at, delta={"type": "input_json_delta", "partial_json": piece})
    assert parts(told, size) == (ToolCall("t0", "f", '{"a":0}'), ToolCall("t1", "f", '{"b":1}'))


def test_a_call_that_is_announced_twice_is_one(size):
    said = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    told = event("content_block_start", index=0, content_block=said) + block(0, said)
    assert parts(told, size) == (ToolCall("t", "f"),)


@pytest.mark.parametrize(
    "odd",
    [
        event("content_block_delta", index="0", delta={"type": "text_delta", "text": "x"}),
        event("content_block_delta", delta={"text": "x"}),
        event("content_block_delta", index=None, delta={"type": "text_delta", "text": "x"}, extra=[1]),
    ],
)
def test_indexes_and_types_that_are_missing(size, odd):
    assert parts(event("content_block_start", content_block={"type": "text", "text": ""}) + odd, size) == (Text("x"),)


def test_members_of_other_types_are_no_members(size):
    body = b"".join(
        event("content_block_delta", index=0, delta=delta)
        for delta in (None, [], "x", {"type": "text_delta", "text": 5}, {"type": "text_delta"}, {"type": ["odd"]})
    )
    body += event("content_block_start", index=0, content_block=["odd"]) + event("content_block_stop", index=9)
    body += event("message_delta", delta="odd", usage=[]) + b"event: ping\ndata: odd\n\n" + b"data: [1]\n\n"
    assert answered(event("message_start", message=5) + body + end(), size).choices[0].parts == ()


def test_bytes_that_are_no_utf8_are_replaced(size):
    body = (start() + text(0, "caf#") + end()).replace(b"#", b"\xe9")
    assert answered(body, size).choices[0].parts == (Text("caf�"),)


@pytest.mark.parametrize("kind", ["overloaded_error", "rate_limit_error", "api_error", "of_the_future"])
def test_errors_end_the_stream(size, kind):
    statuses = {"overloaded_error": 529, "rate_limit_error": 429, "api_error": 500, "of_the_future": 0}
    error = event("error", error={"type": kind, "message": "m"})
    events = decoded(start() + text(0, "x") + error + end(), size)
    assert events[-1] == Failed("m", statuses[kind], kind)
    assert decoded(error.removeprefix(b"event: error\n"), size) == [Failed("m", statuses[kind], kind)]


def test_errors_that_say_little(size):
    assert decoded(b"event: error\ndata: the engine died\n\n", size) == [Failed("the engine died")]
    assert decoded(b'event: error\ndata: {"type":"error"}\n\n', size)[0].message
    assert decoded(b'data: {"error":"plain"}\n\n', size) == [Failed("plain")]
    assert decoded(b'event: error\ndata: {"type":"err', size)[0].message == "the upstream reported an error"


def test_an_event_that_cannot_be_read_ends_the_stream(size):
    events = decoded(start() + b"event: content_block_delta\ndata: {torn\n\n" + end(), size)
    assert isinstance(events[-1], Failed)


def test_a_json_body_in_place_of_a_stream(size):
    message = {"type": "message", "id": "m", "model": "c", "content": [{"type": "text", "text": "x"}]}
    whole = {**message, "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 9}}
    for body in (json.dumps(whole).encode(), json.dumps(whole, indent=2).encode(), event("message", **whole)):
        assert answered(body, size).choices == answered(start() + text(0, "x") + end(), size).choices
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert decoded(json.dumps(error).encode(), size) == [Failed("Overloaded", 529, "overloaded_error")]


# --- how long it takes ---------------------------------------------------------------------------------------------


def delta(**members):
    return event("content_block_delta", index=0, delta=members)


HOSTILE = {
    "one long text": text(0, "x" * 1_000_000),
    "one long argument": block(
        0, {"type": "tool_use", "id": "t", "name": "f"}, {"type": "input_json_delta", "partial_json": "[" * 1_000_000}
    ),
    "many deltas": b"".join(delta(type="text_delta", text="é") for _ in range(9_000)),
    "many halves": b"".join(
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}\n\n'
        for _ in range(9_000)
    ),
    "many pieces": event("content_block_start", index=0, content_block={"type": "compaction"})
    + b"".join(delta(type="compaction_delta", content="x" * 20) for _ in range(8_000)),
    "many blocks": b"".join(
        event("content_block_start", index=at, content_block={"type": "tool_use", "id": f"t{at}", "name": "f"})
        for at in range(7_000)
    ),
    "deep": event("content_block_start", index=0, content_block=0).replace(b": 0}", b": " + b"[" * 1_000_000),
    "braces": b"data: " + b"{" * 1_000_000 + b"\n\n",
    "line ends": b"\n" * 1_000_000,
    "nothing": b"\0" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_streams_are_read_to_their_end(size, name):
    body = start() + HOSTILE[name]
    # One byte at a time takes its time for a megabyte, whoever reads it.
    body = body if size > 7 else body[: 20_000 * size]
    began = time.process_time()
    decoder = CODEC.stream_decoder(exchange())
    try:
        events = [each for piece in pieces(body, size) for each in decoder.feed(piece)] + decoder.finish()
    except EventTooLarge:
        events = []
    assert not any(isinstance(each, Ended) for each in events)
    assert time.process_time() - began < 30  # a square of the length would take minutes
