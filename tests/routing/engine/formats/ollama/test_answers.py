import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine.record import Usage
from routing.engine.answers import without_empty
from routing.engine.formats.ollama.codec import OllamaCodec
from routing.engine.messages import Failed, Finish, Reasoning, ReasoningDelta, Text, TextDelta, ToolCall, ToolDelta
from tests.routing.engine.formats.upstream import SIZES, chat, collected, exchange_of, texts, told

CODEC = OllamaCodec()
DONE = {"done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 7}


def line(message=None, **members):
    said = {"model": "llama", "created_at": "2026-01-01T00:00:00.123456789Z", "done": False} | members
    return json.dumps(said | ({"message": {"role": "assistant", "content": ""} | message} if message else {})).encode()


def lines(*messages, **done):
    return b"".join(line(message) + b"\n" for message in messages) + line({}, **{**DONE, **done}) + b"\n"


CALLS = [
    {"function": {"name": "get_weather", "arguments": {"city": "Pärís"}}},
    {"function": {"name": "now", "arguments": {}}},
]
STREAM = lines({"thinking": "Let "}, {"thinking": "me."}, {"content": "Hi "}, {"content": "é🙂"}, {"tool_calls": CALLS})


@pytest.mark.parametrize("size", SIZES)
def test_thinking_text_and_calls_come_in_order(size):
    answer = collected(told(CODEC, STREAM, size))
    assert (answer.model, answer.created_s) == ("llama", 1767225600)
    assert answer.usage == Usage(input_tokens=11, output_tokens=7)
    reasoning, text, weather, now = answer.choices[0].parts
    assert (reasoning, text) == (Reasoning(("Let me.",)), Text("Hi é🙂"))
    assert (weather.name, json.loads(weather.arguments), now.arguments) == ("get_weather", {"city": "Pärís"}, "{}")
    assert weather.id != now.id
    assert {len(weather.id), len(now.id)} == {29}
    # The word of the upstream is `stop`; a call outranks it.
    assert answer.choices[0].finish == Finish("tool_calls")


def test_whole_answer_says_the_same_as_the_stream():
    whole = line({"content": "Hi é🙂", "thinking": "Let me.", "tool_calls": CALLS}, **DONE)
    for body in (whole, json.dumps(json.loads(whole), indent=1).encode(), STREAM):
        answer = CODEC.decode_answer(body, exchange_of(CODEC, chat("hi")))
        assert without_empty(answer) == collected(told(CODEC, STREAM))


@given(st.lists(st.integers(1, 60), max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_cut_tells_the_same_events(cuts):
    decoder = CODEC.stream_decoder(exchange_of(CODEC, chat("hi")))
    events, rest = [], STREAM
    for cut in cuts:
        events += decoder.feed(rest[:cut])
        rest = rest[cut:]
    assert events + decoder.feed(rest) + decoder.finish() == told(CODEC, STREAM)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", Finish("stop")),
        ("length", Finish("length")),
        ("load", Finish("stop")),
        ("odd", Finish("other", detail="odd")),
        (None, Finish("stop")),
    ],
)
def test_reasons_are_translated(word, finish):
    answer = collected(told(CODEC, lines({"content": "x"}, done_reason=word)))
    assert answer.choices[0].finish == finish


def test_length_outranks_a_call():
    assert (
        collected(told(CODEC, lines({"tool_calls": CALLS}, done_reason="length"))).choices[0].finish.reason == "length"
    )


def test_call_keeps_the_id_that_it_has_and_is_not_told_twice():
    call = {"id": "call_x", "function": {"name": "f", "arguments": '{"a":1}'}}
    answer = collected(told(CODEC, lines({"tool_calls": [call]}, {"tool_calls": [call]})))
    assert answer.choices[0].parts == (ToolCall("call_x", "f", '{"a":1}'),)


@pytest.mark.parametrize("size", SIZES)
def test_half_a_pair_waits_for_its_other_half(size):
    body = lines({"content": "X"}, {"content": "Y"}, {"thinking": "Z"})
    body = body.replace(b'"X"', rb'"a\ud83d"').replace(b'"Y"', rb'"\ude00b\ud83d"').replace(b'"Z"', rb'"\ud83d"')
    events = told(CODEC, body, size)
    assert texts(events, TextDelta) == "a😀b�"
    assert texts(events, ReasoningDelta) == "�"
    collected(events)


@pytest.mark.parametrize("size", SIZES)
def test_stream_without_its_last_line_has_no_end(size):
    cut = STREAM[: STREAM.rindex(b"\n", 0, -1) + 1]
    assert texts(told(CODEC, cut, size), TextDelta) == "Hi é🙂"
    for body in (cut, cut + b'{"done":tr', b""):
        with pytest.raises(AssertionError):
            collected(told(CODEC, body, size) or [None])


def test_last_line_may_lack_its_end():
    assert collected(told(CODEC, STREAM.rstrip())) == collected(told(CODEC, STREAM))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (b'{"error":"model runner has crashed"}', Failed("model runner has crashed")),
        (b'{"error":{"message":"slow down","code":"busy"},"status_code":429}', Failed("slow down", 429, "busy")),
        (b"<html>", Failed("The upstream sent a line that is no answer.", 502)),
        (b'{"message":"text"}', Failed("The upstream sent a line that is no answer.", 502)),
        (b"[" * 100_000, Failed("The upstream sent a line that is no answer.", 502)),
    ],
)
def test_error_line_ends_the_stream(said, failed, size):
    events = told(CODEC, line({"content": "Hi"}) + b"\n" + said + b"\n" + STREAM, size)
    assert events[-2:] == [TextDelta("Hi"), failed]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"error":"no"}',
        b"null",
        b"[]",
        line({"content": "half"}),
        b'{"message":{"role":"assistant","content":"x"}}',
    ],
)
def test_whole_answer_that_is_none_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        CODEC.decode_answer(body, exchange_of(CODEC, chat("hi")))


def test_wrong_types_are_read_as_absent():
    odd = {"content": 5, "thinking": ["x"], "tool_calls": [None, {"function": 3}, {"function": {"name": "f"}}]}
    events = told(CODEC, lines(odd, prompt_eval_count="3", eval_count=-1))
    answer = collected(events)
    assert texts(events, ToolDelta) == "{}"
    assert [part.name for part in answer.choices[0].parts] == ["f"]
    assert answer.usage == Usage()


def test_logprobs_come_in_the_shape_of_chat():
    token = {"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "é", "logprob": -0.5}]}
    body = line({"content": "é"}, logprobs=[token]) + b"\n" + lines()
    bare = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert collected(told(CODEC, body)).choices[0].logprobs == [bare | {"top_logprobs": [bare]}]


def test_error_answers_are_read():
    said = CODEC.decode_error(b'{"error":"model \'x\' not found"}', {b"retry-after": b"3"})
    assert (said.message, said.retry_after_s) == ("model 'x' not found", 3.0)
    assert CODEC.decode_error(b"<html>", {}).message == ""
