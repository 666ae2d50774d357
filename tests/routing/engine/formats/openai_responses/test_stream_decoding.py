import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine.record import Usage
from routing.engine.answers import Collector
from routing.engine.messages import (
    Began,
    Citation,
    Cited,
    Ended,
    Failed,
    Finish,
    Finished,
    LogprobsDelta,
    Native,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from tests.routing.engine.formats.openai_responses.wire import (
    NAME,
    ask,
    completed,
    created,
    cuts,
    exchange,
    read,
    sse,
    state,
)
from tests.routing.engine.formats.recorded import stream

USAGE = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}
BEGAN = Began("resp_u", "gpt-x", 1790000000)
STOP, CALLS = Finished(Finish("stop")), Finished(Finish("tool_calls"))


def delta(text: str, index: int | None = 0, part: int = 0, **more) -> bytes:
    return sse("response.output_text.delta", output_index=index, content_index=part, delta=text, **more)


def added(item: dict, index: int = 0) -> bytes:
    return sse("response.output_item.added", output_index=index, item=item)


def done(item: dict, index: int = 0) -> bytes:
    return sse("response.output_item.done", output_index=index, item=item)


def call(number: int = 1, **more) -> dict:
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": "f",
        "arguments": "",
        **more,
    }


def arguments(text: str, index: int = 0, item_id: str = "fc_1") -> bytes:
    return sse("response.function_call_arguments.delta", output_index=index, item_id=item_id, delta=text)


def whole(events) -> list:
    """Return the parts that events add up to."""
    collector = Collector()
    collector.take(events)
    assert collector.is_complete, events
    choices = collector.answer().choices
    return list(choices[0].parts)


@cuts
@pytest.mark.parametrize("case", ["text", "tools_reasoning", "failed", "error"])
def test_any_cut_gives_the_same_events(case, size):
    body = stream(NAME, case)
    assert read(body, size) == read(body, len(body))


@cuts
def test_a_recorded_stream(size):
    assert read(stream(NAME, "tools_reasoning"), size) == [
        Began("resp_68ab", "gpt-5.6-luna-2026-08-01", 1790000000),
        ReasoningDelta("Hm."),
        PartEnded(),
        ToolBegan(0, "call_1", "get_weather"),
        ToolDelta(0, '{"city":"Zürich"}'),
        ToolEnded(0),
        UsageReport(Usage(input_tokens=900, output_tokens=80, cache_read_tokens=512, reasoning_tokens=64)),
        Finished(Finish("length", detail="max_output_tokens")),
        Ended(),
    ]


def test_text_before_any_announcement_is_told():
    assert read([delta("a"), delta("b"), completed()]) == [Began(), TextDelta("a"), TextDelta("b"), STOP, Ended()]


def test_reasoning_in_parts_and_its_state():
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    kind = "response.reasoning_summary_text"
    final = {**item, "summary": [{"text": "why"}, {"text": "how"}], "encrypted_content": "gENC"}
    events = read(
        [
            created(),
            added(item),
            sse(f"{kind}.delta", item_id="rs_1", output_index=0, summary_index=0, delta="why"),
            sse(f"{kind}.done", item_id="rs_1", output_index=0, summary_index=0, text="why"),
            sse(f"{kind}.done", item_id="rs_1", output_index=0, summary_index=1, text="how"),
            done(final),
            completed(output=[final], usage=USAGE),
        ]
    )
    assert events == [
        BEGAN,
        ReasoningDelta("why", part=0),
        ReasoningDelta("how", part=1),
        ReasoningState(state("gENC", "rs_1", family="gpt")),
        UsageReport(Usage(input_tokens=5, output_tokens=6)),
        STOP,
        Ended(),
    ]


def test_words_of_thinking_are_verbatim():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    piecewise = sse("response.reasoning_text.delta", output_index=0, content_index=0, delta="hm")
    assert read([created(), piecewise, done(item), completed()])[1:3] == [
        ReasoningDelta("hm", is_verbatim=True),
        PartEnded(),
    ]
    assert read([created(), done(item), completed()])[1] == ReasoningDelta("hm", is_verbatim=True)


@pytest.mark.parametrize(
    "middle",
    [
        [done(call(arguments='{"a":1}'))],
        [added(call()), done(call(arguments='{"a":1}'))],
        [added(call()), arguments('{"a":1}'), done(call(arguments='{"a":1}'))],
        [added(call()), arguments('{"a"'), arguments(":1}")],
        [added(call()), sse("response.function_call_arguments.done", output_index=0, arguments='{"a":1}')],
        [added(call()), added(call()), arguments('{"a":1}'), done(call(arguments='{"a":1}'))],
        [added(call(name="")), arguments('{"a":1}'), done(call(arguments='{"a":1}'))],
        [arguments('{"a":1}'), done(call(arguments='{"a":1}'))],
        [added(call()), arguments('{"a":1}', item_id="other"), done({**call(), "arguments": '{"a":1}', "id": "third"})],
        [added(call()), arguments('{"a":1}'), done(call(arguments='{"a":1}')), done(call(arguments='{"a":1}'))],
        [done(call(arguments={"a": 1}))],
    ],
)
@pytest.mark.parametrize(
    "output", [None, [], [call(arguments='{"a":1}')], [call(9, arguments='{"a":1}', call_id="call_1")]]
)
def test_calls_are_told_once_however_they_come(middle, output):
    events = read([created(), *middle, completed(output=output)])
    assert whole(events) == [ToolCall("call_1", "f", '{"a":1}')]
    assert events[-2:] == [CALLS, Ended()]
    assert events.count(ToolEnded(0)) == 1


def test_items_that_only_the_end_knows_are_told():
    output = [
        {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
        call(arguments="{}"),
    ]
    assert whole(read([created(), completed(output=output)])) == [Text("hi"), ToolCall("call_1", "f", "{}")]


def test_text_that_comes_whole_is_told_once():
    finished = sse("response.output_text.done", output_index=0, content_index=0, text="hi")
    part = {"type": "output_text", "text": "hi", "annotations": []}
    message = {"type": "message", "id": "m", "content": [part]}
    ends = [finished, sse("response.content_part.done", output_index=0, content_index=0, part=part), done(message)]
    for start in range(3):
        assert whole(read([created(), *ends[start:], completed(output=[message])])) == [Text("hi")]
    assert whole(read([created(), delta("hi"), *ends, completed(output=[{**message, "id": "x"}])])) == [Text("hi")]


def test_interleaved_calls_are_numbered_in_their_order():
    events = read(
        [
            created(),
            added({"type": "reasoning", "id": "rs"}, 0),
            added(call(1), 1),
            added(call(2), 2),
            arguments("[1", 1, "fc_1"),
            arguments("[2", 2, "fc_2"),
            arguments("]", 1, "fc_1"),
            arguments("]", 2, "fc_2"),
            completed(),
        ]
    )
    assert whole(events) == [ToolCall("call_1", "f", "[1]"), ToolCall("call_2", "f", "[2]")]


def test_one_place_for_all_items_is_no_place():
    events = read(
        [created(), added(call(1)), added(call(2)), arguments("1", 0, "fc_1"), arguments("2", 0, "fc_2"), completed()]
    )
    assert whole(events) == [ToolCall("call_1", "f", "1"), ToolCall("call_2", "f", "2")]


def test_one_id_for_all_calls_is_no_id():
    events = read([created(), done(call(1, call_id="c"), 0), done(call(2, call_id="c"), 1), completed()])
    one, other = whole(events)
    assert (one.id, other.id == "c") == ("c", False)


def test_free_text_tools():
    item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "p", "input": ""}
    more = sse("response.custom_tool_call_input.delta", output_index=0, item_id="ctc_1", delta="*** Begin")
    finished = sse("response.custom_tool_call_input.done", output_index=0, item_id="ctc_1", input="*** Begin")
    assert whole(read([created(), added(item), more, finished, completed()])) == [
        ToolCall("c", "p", "*** Begin", is_custom=True)
    ]
    assert whole(read([created(), done({**item, "input": "x"}), completed()])) == [
        ToolCall("c", "p", "x", is_custom=True)
    ]


def test_members_of_calls_stay_in_the_format():
    body = [created(), done(call(arguments="{}", namespace="mcp")), completed()]
    assert whole(read(body, asked=exchange(ask())))[0].native == {"namespace": "mcp"}
    assert whole(read(body))[0].native is None


def test_refusals_and_parts_of_a_message():
    events = read(
        [
            created(),
            delta("a", part=0),
            delta("b", part=1),
            sse("response.refusal.delta", output_index=0, content_index=2, delta="no"),
            completed(),
        ]
    )
    assert whole(events) == [Text("a"), Text("b"), Text("no", is_refusal=True)]


def test_phases_are_kept():
    events = read([created(), added({"type": "message", "id": "m", "phase": "commentary"}), delta("a"), completed()])
    assert whole(events) == [Text("a", phase="commentary")]


def test_sources_are_told_once_and_count_in_the_whole_text():
    note = {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 0, "end_index": 3}
    announced = sse(
        "response.output_text.annotation.added", output_index=0, content_index=1, annotation_index=0, annotation=note
    )
    content = [
        {"type": "output_text", "text": "one "},
        {"type": "output_text", "text": "two", "annotations": [note, note]},
    ]
    message = {"type": "message", "id": "m", "content": content}
    events = read([created(), delta("one "), delta("two", part=1), announced, done(message), completed()])
    cited = Cited(Citation("https://e.com", "E", 4, 7, native=note, format=NAME))
    assert [event for event in events if isinstance(event, Cited)] == [cited, cited]


def test_log_probabilities_follow_their_text():
    tokens = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    assert read([created(), delta("a", logprobs=tokens), completed()])[1:3] == [TextDelta("a"), LogprobsDelta(tokens)]


def test_log_probabilities_of_a_strange_shape_are_passed_over():
    told = read([created(), delta("a", logprobs=[[], {"token": 5}, {"token": "b", "logprob": "high"}]), completed()])
    assert not [event for event in told if isinstance(event, LogprobsDelta)]


def test_what_the_upstream_ran_itself_is_told_once_as_a_whole():
    item = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {}}
    searching = sse("response.web_search_call.searching", output_index=0, item_id="ws")
    events = read(
        [created(), added({**item, "status": "in_progress"}), searching, done(item), completed(output=[item])]
    )
    assert events[1:] == [PartMade(Native(NAME, "web_search_call", item)), STOP, Ended()]


@pytest.mark.parametrize(
    ("last", "failed"),
    [
        (
            sse("response.failed", response={"error": {"code": "context_length_exceeded", "message": "long"}}),
            Failed("long", 400, "context_length_exceeded"),
        ),
        (sse("response.failed", response={"error": None}), Failed("the upstream reported an error", 0)),
        (
            sse("error", code="rate_limit_exceeded", message="slow", param=None),
            Failed("slow", 429, "rate_limit_exceeded"),
        ),
        (
            sse("error", error={"type": "insufficient_quota", "message": "spent"}),
            Failed("spent", 429, "insufficient_quota"),
        ),
        (completed(status="failed", error={"message": "no"}), Failed("no", 0)),
        (b'data: {"error":{"message":"m","code":502}}\n\n', Failed("m", 502)),
        (b"data: {broken\n\n", Failed("the upstream sent an event that is no JSON", 0, "malformed_event")),
        (b"data: [[broken\n\n", Failed("the upstream sent an event that is no JSON", 0, "malformed_event")),
    ],
)
def test_failures_end_everything(last, failed):
    events = read([created(), delta("a"), last, delta("b"), completed()])
    assert events == [BEGAN, TextDelta("a"), failed]


@pytest.mark.parametrize(
    "body", [b"", created(), created() + delta("a"), created() + done(call()) + b"data: [DONE]\n\n"]
)
def test_a_stream_without_its_end_has_none(body):
    assert Ended() not in read(body)
    assert not any(isinstance(event, Failed) for event in read(body))


@cuts
def test_a_stream_torn_anywhere_has_no_end(size):
    body = stream(NAME, "text")
    end = body.index(b"event: response.completed")
    for cut in range(0, end, 97):
        assert not any(isinstance(event, Ended | Failed) for event in read(body[:cut], max(size, 7)))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "filter"), ("steered", "other"), (None, "length")],
)
def test_why_it_is_incomplete(reason, finish):
    details = {"incomplete_details": {"reason": reason}} if reason else {}
    body = [created(), delta("a"), sse("response.incomplete", response={"status": "incomplete", **details})]
    assert read(body)[-2].finish.reason == finish


def test_an_end_without_its_last_line_end_is_an_end():
    assert read([created(), delta("a"), completed().rstrip()])[-1] == Ended()


def test_a_plain_body_where_a_stream_was_promised():
    body = {"id": "r", "object": "response", "status": "completed", "output": [call(arguments="{}")], "usage": USAGE}
    assert whole(read(json.dumps(body).encode())) == [ToolCall("call_1", "f", "{}")]
    assert whole(read(json.dumps(body, indent=1).encode() + b"\n", 7)) == [ToolCall("call_1", "f", "{}")]
    assert read(b'{"error":{"message":"no","code":"invalid_api_key"}}') == [Failed("no", 401, "invalid_api_key")]
    assert isinstance(read(b'{"detail":"Not Found"}')[0], Failed)


@cuts
def test_characters_cut_between_deltas_are_joined(size):
    body = [created(), *(sse_raw(text) for text in ('"a\\ud83d"', '"\\ude42b"', '"\\ud83d"', '"c"')), completed()]
    assert whole(read(body, size)) == [Text("a🙂b�c")]


def sse_raw(delta: str) -> bytes:
    return (
        f'data: {{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":{delta}}}\n\n'.encode()
    )


def test_names_of_events_may_stand_outside_only():
    body = b'event: response.output_text.delta\ndata: {"output_index":0,"content_index":0,"delta":"a"}\n\n'
    assert whole(read([created(), body, completed()])) == [Text("a")]


@pytest.mark.parametrize("member", ["delta", "output_index", "item_id", "content_index", "logprobs", "type"])
@pytest.mark.parametrize("value", [None, 5, -1, True, "x", [], {}, [1], {"a": 1}])
def test_members_of_any_type_never_raise(member, value):
    kinds = ["output_text.delta", "reasoning_text.delta", "refusal.delta", "function_call_arguments.delta"]
    body = [
        sse(f"response.{kind}", **{"delta": "a", "output_index": 0, member: value})
        for kind in kinds
        if member != "type"
    ]
    body.append(f"data: {json.dumps({'type': value})}\n\n".encode())
    assert read([created(), *body, completed()])[-1] == Ended()


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [1], [None], [{}], {"a": 1}])
def test_items_and_responses_of_any_type_never_raise(value):
    kinds = ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", ""]
    members = ["content", "summary", "arguments", "name", "call_id", "id", "encrypted_content", "phase"]
    items = [{"type": kind, "name": "f", "id": "i", member: value} for kind in kinds for member in members]
    body = [kind(item, place) for place, item in enumerate(items) for kind in (added, done)]
    body += [added(value), done(value), sse("response.content_part.done", part=value, output_index=0)]
    body += [sse("response.output_text.annotation.added", annotation=value, output_index=0)]
    for response in (value, {"output": value, "usage": value, "incomplete_details": value, "id": value}):
        events = read([sse("response.created", response=response), *body, sse("response.completed", response=response)])
        assert events[-1] == Ended()


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises_and_never_ends_well(garbage):
    events = read(created() + b"data: " + garbage + b"\n\n", 7)
    assert Ended() not in events


@pytest.mark.parametrize(
    "event",
    [
        delta("a" * 10),
        done({"type": "message", "content": "x"}, 0),
        sse("response.content_part.done", part={"type": "output_text", "text": "x", "annotations": [{}] * 5}),
        delta("x", index=None) + done({"type": "message"}, -1),
        added(call()),
        arguments("x"),
    ],
)
def test_a_megabyte_of_one_event_is_read_to_its_end(event):
    body = created() + event * (1_000_000 // len(event))
    assert read(body + completed(output=[call(n) for n in range(1000)]), len(body))[-1] == Ended()
