import json

import pytest

from analytics.engine.record import Usage
from routing.engine.formats.cohere.codec import CohereCodec
from routing.engine.messages import (
    Cited,
    Failed,
    Finish,
    Reasoning,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolDelta,
)
from tests.routing.engine.formats.upstream import SIZES, chat, collected, exchange_of, texts, told

CODEC = CohereCodec()
USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 7.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 9.0},
    "cached_tokens": 64.0,
}
SOURCE = {
    "type": "document",
    "id": "doc:0",
    "document": {"title": "Birds", "url": "https://x.test", "snippet": "They fly."},
}
CITATION = {"start": 1, "end": 4, "text": "ray", "sources": [SOURCE], "content_index": 1, "type": "TEXT_CONTENT"}


def event(kind, message=None, **members):
    said = {"type": kind, **members} | ({"delta": {"message": message}} if message is not None else {})
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def content(index, **block):
    return event("content-delta", {"content": block}, index=index)


def call(index, call_id, name):
    told = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    return event("tool-call-start", {"tool_calls": told}, index=index)


def arguments(index, text):
    return event("tool-call-delta", {"tool_calls": {"function": {"arguments": text}}}, index=index)


def end(word="COMPLETE", **members):
    said = {"type": "message-end", "delta": {"finish_reason": word, "usage": USAGE, **members}}
    return f"event: message-end\ndata: {json.dumps(said)}\n\n".encode()


START = event("message-start", {"role": "assistant", "content": []}, id="gen_1")
SPOKEN = b"".join(
    [
        START,
        event("content-start", {"content": {"type": "thinking", "thinking": "H"}}, index=0),
        content(0, thinking="m."),
        event("content-end", index=0),
        event("content-start", {"content": {"type": "text", "text": ""}}, index=1),
        content(1, text="Gray "),
        content(1, text="🦜"),
        event("content-end", index=1),
        event("citation-start", {"citations": CITATION}, index=0),
        event("citation-end", index=0),
        end(),
    ]
)
CALLING = b"".join(
    [
        START,
        event("tool-plan-delta", {"tool_plan": "I will "}),
        event("tool-plan-delta", {"tool_plan": "look."}),
        call(0, "get_weather_a", "get_weather"),
        arguments(0, '{"ci'),
        call(1, "now_b", "now"),
        arguments(0, 'ty":1}'),
        event("tool-call-end", index=0),
        event("tool-call-end", index=1),
        end("COMPLETE"),
    ]
)


@pytest.mark.parametrize("size", SIZES)
def test_thinking_and_cited_text(size):
    answer = collected(told(CODEC, SPOKEN, size))
    reasoning, text = answer.choices[0].parts
    assert (answer.id, reasoning, text.text) == ("gen_1", Reasoning(("Hm.",)), "Gray 🦜")
    assert answer.usage == Usage(input_tokens=71, output_tokens=9, cache_read_tokens=64)
    assert answer.choices[0].finish == Finish("stop")
    (citation,) = text.citations
    assert (citation.start, citation.end, text.text[citation.start : citation.end]) == (1, 4, "ray")
    assert (citation.title, citation.url, citation.quote) == ("Birds", "https://x.test", "They fly.")


@pytest.mark.parametrize("size", SIZES)
def test_plan_is_text_and_calls_may_take_turns(size):
    answer = collected(told(CODEC, CALLING, size))
    assert answer.choices[0].parts == (
        Text("I will look."),
        ToolCall("get_weather_a", "get_weather", '{"city":1}'),
        ToolCall("now_b", "now", "{}"),
    )
    # The upstream's word says nothing of calls.
    assert answer.choices[0].finish == Finish("tool_calls")


def test_whole_answers_say_the_same():
    spoken = {
        "id": "gen_1",
        "finish_reason": "COMPLETE",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Gray 🦜"}],
            "citations": [CITATION],
        },
        "usage": USAGE,
    }
    functions = [
        ("get_weather_a", {"name": "get_weather", "arguments": '{"city":1}'}),
        ("now_b", {"name": "now", "arguments": None}),
    ]
    calls = [{"id": call_id, "type": "function", "function": function} for call_id, function in functions]
    calling = spoken | {"message": {"tool_plan": "I will look.", "tool_calls": calls}}
    for whole, stream in ((spoken, SPOKEN), (calling, CALLING)):
        body = json.dumps(whole).encode()
        answer = CODEC.decode_answer(body, exchange_of(CODEC, chat("hi")))
        assert answer == collected(told(CODEC, stream))
        assert collected(told(CODEC, body)) == answer  # in place of the stream that was asked for


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("MAX_TOKENS", Finish("length")),
        ("STOP_SEQUENCE", Finish("stop_sequence")),
        ("ERROR_TOXIC", Finish("filter")),
        ("NEW_WORD", Finish("other", detail="NEW_WORD")),
    ],
)
def test_reasons_are_translated(word, finish):
    assert collected(told(CODEC, START + content(0, text="x") + end(word))).choices[0].finish == finish


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (end("ERROR", error="out of memory"), Failed("out of memory", 500, "ERROR")),
        (end("TIMEOUT"), Failed("The upstream ended its answer with TIMEOUT.", 504, "TIMEOUT")),
        (b'data: {"message":"too many tokens"}\n\n', Failed("too many tokens")),
        (b'event: error\ndata: {"error":{"message":"slow","code":"x"}}\n\n', Failed("slow", 0, "x")),
        (b"data: {broken\n\n", Failed("The upstream sent an event that cannot be read.", 502)),
        (call(0, "c", ""), Failed("The upstream sent a tool call without a name.", 502)),
        (
            arguments(4, "{}"),
            Failed("The upstream sent arguments of a tool call that it never began.", 502),
        ),
    ],
)
def test_failures_end_the_stream(said, failed, size):
    events = told(CODEC, START + content(0, text="Hi") + said + SPOKEN, size)
    assert events[-2:] == [TextDelta("Hi"), failed]


@pytest.mark.parametrize("size", SIZES)
def test_stream_without_message_end_has_no_end(size):
    events: list[StreamEvent] = told(CODEC, SPOKEN[: SPOKEN.index(b"event: message-end")], size)
    assert texts(events, TextDelta) == "Gray 🦜"
    with pytest.raises(AssertionError):
        collected(events)


@pytest.mark.parametrize("size", SIZES)
def test_half_a_pair_waits_for_its_other_half(size):
    body = START + content(0, text="X") + content(0, text="Y") + call(0, "c", "f") + arguments(0, "Z") + end()
    body = body.replace(b'"X"', rb'"a\ud83d"').replace(b'"Y"', rb'"\ude00\ud83d"').replace(b'"Z"', rb'"{\ud83d}"')
    events = told(CODEC, body, size)
    assert texts(events, TextDelta) == "a😀�"
    assert texts(events, ToolDelta) == "{�}"
    collected(events)


def test_unknown_and_odd_events_are_passed_over():
    odd = (
        event("debug", prompt="x")
        + b': ping\n\ndata: {}\n\ndata: {"message":{"content":"x"}}\n\n'
        + event("content-delta", {"content": 5}, index=[])
        + event("content-delta", {"content": {"text": 7}}, index={})
        + event("tool-call-delta", "x", index=0)
        + event("tool-call-end", index=[1])
        + event("citation-start", {"citations": [None, {"sources": 3, "content_index": {}}]})
    )
    events = told(CODEC, START + odd + SPOKEN)
    assert collected(events) == collected(told(CODEC, SPOKEN))


def test_citation_of_the_plan_counts_from_its_beginning():
    cited = event("citation-start", {"citations": {**CITATION, "type": "PLAN", "start": 0, "end": 6}}, index=0)
    plan = event("tool-plan-delta", {"tool_plan": "I will look."})
    events = told(CODEC, START + plan + cited + call(0, "c", "f") + end())
    assert [(each.citation.start, each.citation.end) for each in events if isinstance(each, Cited)] == [(0, 6)]


def test_offsets_count_the_text_before_the_block():
    cited = event("citation-start", {"citations": CITATION}, index=0)
    body = START + content(0, text="12345") + content(1, text="Gray.") + cited + end()
    (citation,) = [each.citation for each in told(CODEC, body) if isinstance(each, Cited)]
    assert (citation.start, citation.end) == (6, 9)


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b"[]", b"{}", b'{"message":"no such model"}', b'{"finish_reason":"ERROR"}']
)
def test_whole_answer_that_is_none_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        CODEC.decode_answer(body, exchange_of(CODEC, chat("hi")))


def test_error_answers_are_read():
    said = CODEC.decode_error(b'{"message":"invalid api token"}', {b"retry-after-ms": b"1500"})
    assert (said.message, said.retry_after_s) == ("invalid api token", 1.5)
