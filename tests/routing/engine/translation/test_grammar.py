"""The grammar checkers accept what upstreams really send and find each way to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.engine.messages import Began, Ended, Finish, Finished, TextDelta, ToolBegan, ToolDelta
from tests.routing.engine.translation import sdk
from tests.routing.engine.translation.endings import is_whole
from tests.routing.engine.translation.grammar import assert_clean, assert_error, reading_of
from tests.routing.engine.translation.welltyped import disorder

WIRE = Path(__file__).parents[3] / "wire"
GOOD = (
    ("anthropic", "text"),
    ("anthropic", "thinking_tools_crlf"),
    ("gemini", "blocked"),
    ("gemini", "text"),
    ("gemini", "thought_call"),
    ("openai-chat", "text"),
    ("openai-chat", "tools_reasoning"),
    ("openai-responses", "text"),
)


def recorded(name: str, case: str) -> bytes:
    return (WIRE / name / case / "stream.sse").read_bytes().replace(b"\r\n", b"\n")


@pytest.mark.parametrize(("name", "case"), GOOD)
def test_recorded_streams_are_clean(name, case):
    assert_clean(name, (WIRE / name / case / "stream.sse").read_bytes())
    assert is_whole(name, recorded(name, case))
    assert sdk.accumulate(name, [recorded(name, case)]).error is None


@pytest.mark.parametrize(("name", "case"), GOOD)
def test_recorded_streams_without_their_last_events_have_no_end(name, case):
    for at in range(0, len(recorded(name, case)), 97):
        torn = recorded(name, case)[:at]
        reading = reading_of(name, torn)
        assert reading.ending == "open" or is_whole(name, torn)


@pytest.mark.parametrize("name", ["anthropic", "gemini", "openai-chat", "openai-responses"])
def test_recorded_errors_are_errors(name):
    assert_error(name, recorded(name, "error"))


def test_a_block_that_never_ends_is_found():
    whole = recorded("anthropic", "thinking_tools_crlf")
    end = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    assert reading_of("anthropic", whole.replace(end, b"")).problems


#: Format, recorded stream, what is replaced by what, and words of the problem.
BROKEN = (
    ("anthropic", "text", b"event: message_start\n", b"", "drop what has no name"),
    ("anthropic", "text", b'"index":0', b'"index":1', "expected 0"),
    ("anthropic", "text", b'"usage"', b'"usages"', "input_tokens is None"),
    ("anthropic", "text", b'"stop_reason":"end_turn"', b'"stop_reason":"stop"', "stop_reason is 'stop'"),
    ("anthropic", "text", b"text_delta", b"thinking_delta", "thinking_delta in a text block"),
    ("anthropic", "thinking_tools_crlf", b'"signature":"c2lnbmF0dXJl"', b'"signature":""', "empty signature"),
    ("anthropic", "thinking_tools_crlf", b'"tool_use","stop_', b'"end_turn","stop_', "end_turn beside calls"),
    ("anthropic", "thinking_tools_crlf", b'"thinking":"","signature":""', b'"thinking":""', "signature of a thinking"),
    ("gemini", "text", b"data: ", b"data:", "no space"),
    ("gemini", "text", b"data: ", b"event: x\ndata: ", "a name"),
    ("gemini", "text", b"data: ", b": comment\n\ndata: ", "comment"),
    ("gemini", "thought_call", b'"args":{"city":"Z\xc3\xbcrich"}', b'"args":"x"', "args is 'x'"),
    ("openai-chat", "text", b"data: [DONE]", b"data: {}", "object is None"),
    ("openai-chat", "text", b'"role":"assistant",', b"", "role of the first delta is None"),
    ("openai-chat", "text", b'"delta":{"content"', b'"delta":{"role":"assistant","content"', "role twice"),
    ("openai-chat", "text", b'"finish_reason":"stop"', b'"finish_reason":null', "before each choice has"),
    ("openai-chat", "text", b'"index":0', b'"index":1', "choice 1 before choice 0"),
    ("openai-chat", "text", b"data: [DONE]\n\n", b"data: [DONE]\n\ndata: {}\n\n", "something follows the end"),
    ("openai-chat", "text", b"data: [DONE]\n\n", b"data: [DONE]\n", "no blank line"),
    ("openai-responses", "text", b'"sequence_number":4', b'"sequence_number":3', "sequence_number 3 after 3"),
    ("openai-responses", "text", b"event: response.created\n", b"", "event '' holds"),
    ("openai-responses", "text", b'"text":"Gr', b'"text":"Br', "its deltas 'Gr"),
    ("openai-responses", "text", b'"item_id":"msg_1"', b'"item_id":"msg_2"', "item_id of"),
    ("openai-responses", "text", b'"output_index":0', b'"output_index":1', "expected 0"),
)


@pytest.mark.parametrize(
    ("name", "case", "old", "new", "said"), BROKEN, ids=[f"{each[0]} {each[4]}" for each in BROKEN]
)
def test_each_way_to_break_a_grammar_is_found(name, case, old, new, said):
    whole = recorded(name, case)
    broken = whole.replace(old, new)
    assert broken != whole
    problems = reading_of(name, broken).problems
    assert any(said in problem for problem in problems), problems


def test_a_call_told_twice_is_found():
    whole = recorded("openai-chat", "tools_reasoning")
    event = next(block for block in whole.split(b"\n\n") if b'"tool_calls"' in block)
    problems = reading_of("openai-chat", whole.replace(event, event + b"\n\n" + event)).problems
    assert any("again: SDKs join the two" in problem for problem in problems), problems


def test_usage_that_is_not_last_or_not_wanted_is_found():
    whole = recorded("openai-chat", "text")
    usage = next(block for block in whole.split(b"\n\n") if b'"usage":{' in block)
    early = whole.replace(usage + b"\n\n", b"")
    early = early.replace(b"data: ", usage + b"\n\ndata: ", 1)
    assert any("after the usage chunk" in problem for problem in reading_of("openai-chat", early).problems)
    unwanted = reading_of("openai-chat", whole, wants_usage=False)
    assert unwanted.problems == ["usage that nobody asked for"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([TextDelta("a")], "before Began"),
        ([Began(), Began()], "Began twice"),
        ([Began(), Ended(), TextDelta("a")], "after the end"),
        ([Began(), ToolBegan(1, "i", "n")], "expected call 0"),
        ([Began(), ToolDelta(0, "x")], "not open"),
        ([Began(), Finished(Finish("stop")), TextDelta("a")], "has finished"),
        ([Began(), Finished(Finish("stop")), Finished(Finish("stop"))], "twice"),
        ([Began(), TextDelta(5)], "is no str"),
        ([Began(), TextDelta("\ud83d")], "half a surrogate pair"),
        ([Began(), Finished(Finish("odd"))], "is none of"),
    ],
)
def test_events_out_of_order_or_of_another_type_are_found(events, said):
    assert any(said in problem for problem in disorder(events)), disorder(events)
