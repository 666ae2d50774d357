import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine.record import Usage
from routing.engine.formats.bedrock_converse.codec import BedrockConverseCodec
from routing.engine.messages import (
    Cited,
    Failed,
    Finish,
    Finished,
    Media,
    Opaque,
    Origin,
    PartMade,
    Reasoning,
    ReasoningState,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
)
from tests.routing.engine.formats.upstream import SIZES, chat, collected, exchange_of, texts, told
from tests.routing.engine.frames import event, exception, frame

CODEC = BedrockConverseCodec()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
COUNTS = {"inputTokens": 10, "outputTokens": 7, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3}
STATE = Opaque("c2ln", Origin("anthropic", "provider", "chn_1", "claude"))
START = event("messageStart", {"role": "assistant"})


def delta(index, **said):
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": said})


def call(index, call_id, name, **more):
    start = {"toolUse": {"toolUseId": call_id, "name": name} | more}
    return event("contentBlockStart", {"contentBlockIndex": index, "start": start})


def stop(index):
    return event("contentBlockStop", {"contentBlockIndex": index})


def end(word="end_turn", **more):
    return event("messageStop", {"stopReason": word} | more) + event("metadata", {"usage": COUNTS, "metrics": {}})


STREAM = b"".join(
    [
        START,
        delta(0, reasoningContent={"text": "Let "}),
        delta(0, reasoningContent={"text": "me."}),
        # Claude's signature may come beside an empty text, and in pieces.
        delta(0, reasoningContent={"text": "", "signature": "c2"}),
        delta(0, reasoningContent={"signature": "ln"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "aGlk"}),
        stop(1),
        delta(2, text="Hi "),
        delta(2, text="é🙂"),
        stop(2),
        call(3, "tooluse_a", "get_weather"),
        call(4, "tooluse_b", "now"),
        delta(3, toolUse={"input": ""}),
        delta(3, toolUse={"input": '{"ci'}),
        delta(4, toolUse={"input": ""}),
        delta(3, toolUse={"input": 'ty":"é"}'}),
        stop(3),
        stop(4),
        end("tool_use"),
    ]
)
CONTENT = [
    {"reasoningContent": {"reasoningText": {"text": "Let me.", "signature": "c2ln"}}},
    {"reasoningContent": {"redactedContent": "aGlk"}},
    {"text": "Hi é🙂"},
    {"toolUse": {"toolUseId": "tooluse_a", "name": "get_weather", "input": {"city": "é"}}},
    {"toolUse": {"toolUseId": "tooluse_b", "name": "now", "input": {}}},
]


def claude():
    return exchange_of(CODEC, chat("hi"), CLAUDE, thinking="enabled")


@pytest.mark.parametrize("size", SIZES)
def test_blocks_come_in_order_each_with_its_own_deltas(size):
    answer = collected(told(CODEC, STREAM, size, claude()))
    assert answer.choices[0].parts == (
        Reasoning(("Let me.",), STATE),
        Reasoning(state=Opaque("aGlk", STATE.origin, "redacted"), is_redacted=True),
        Text("Hi é🙂"),
        ToolCall("tooluse_a", "get_weather", '{"city":"é"}'),
        ToolCall("tooluse_b", "now", "{}"),
    )
    assert answer.choices[0].finish == Finish("tool_calls")
    assert answer.usage == Usage(input_tokens=18, output_tokens=7, cache_read_tokens=5, cache_write_tokens=3)


def test_whole_answers_say_the_same():
    whole = {
        "output": {"message": {"role": "assistant", "content": CONTENT}},
        "stopReason": "tool_use",
        "usage": COUNTS,
    }
    body = json.dumps(whole).encode()
    streamed = collected(told(CODEC, STREAM, exchange=claude()))
    assert CODEC.decode_answer(body, claude()) == streamed
    assert collected(told(CODEC, body, 7, claude())) == streamed  # in place of the stream that was asked for


@given(st.lists(st.integers(1, 80), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_cut_tells_the_same_events(cuts):
    decoder = CODEC.stream_decoder(claude())
    events, rest = [], STREAM
    for cut in cuts:
        events += decoder.feed(rest[:cut])
        rest = rest[cut:]
    assert events + decoder.feed(rest) + decoder.finish() == told(CODEC, STREAM, exchange=claude())


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        (end("end_turn"), Finish("stop")),
        (end("max_tokens"), Finish("length")),
        (end("model_context_window_exceeded"), Finish("length", detail="model_context_window_exceeded")),
        (end("guardrail_intervened"), Finish("filter")),
        (end("content_filtered"), Finish("filter")),
        (end("malformed_tool_use"), Finish("other", detail="malformed_tool_use")),
        (
            end("stop_sequence", additionalModelResponseFields={"stop_sequence": "END"}),
            Finish("stop_sequence", "END"),
        ),
    ],
)
def test_reasons_are_translated(said, finish):
    assert collected(told(CODEC, START + delta(0, text="x") + said)).choices[0].finish == finish


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (exception("throttlingException", "Too many tokens"), Failed("Too many tokens", 429, "throttlingException")),
        (exception("modelStreamErrorException", "Oops"), Failed("Oops", 500, "modelStreamErrorException")),
        (exception("validationException", "No."), Failed("No.", 400, "validationException")),
        (
            frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Gone."}),
            Failed("Gone.", 500, "InternalFailure"),
        ),
        (event("contentBlockDelta", b"{broken"), Failed("The upstream sent an event that cannot be read.", 502)),
        (event("messageStop", b"[]"), Failed("The upstream sent an event that cannot be read.", 502)),
        (call(1, "tooluse_a", ""), Failed("The upstream sent a tool call without a name.", 502)),
        (
            delta(7, toolUse={"input": "{}"}),
            Failed("The upstream sent arguments of a tool call that it never began.", 502),
        ),
    ],
)
def test_exception_frames_end_the_stream(said, failed, size):
    events = told(CODEC, START + delta(0, text="Hi") + said + STREAM, size)
    assert [event for event in events if isinstance(event, Failed)] == [failed] == events[-1:]
    assert texts(events, TextDelta) == "Hi"


@pytest.mark.parametrize("size", SIZES)
def test_torn_frame_is_a_failure_and_missing_end_is_none(size):
    broken = bytearray(STREAM)
    broken[-1] ^= 1
    events = told(CODEC, bytes(broken), size, claude())
    assert (type(events[-1]), events[-1].status) == (Failed, 502)
    cut = STREAM[: -len(end("tool_use"))]
    for body in (cut, cut + end()[:20], START, b""):
        with pytest.raises(AssertionError):
            collected(told(CODEC, body, size, claude()) or [None])


def test_answer_is_whole_without_its_usage():
    answer = collected(told(CODEC, START + delta(0, text="x") + event("messageStop", {"stopReason": "end_turn"})))
    assert (answer.usage, answer.choices[0].finish) == (None, Finish("stop"))


@pytest.mark.parametrize("size", SIZES)
def test_json_in_place_of_a_stream_is_read_as_what_it_is(size):
    events = told(CODEC, b'{"message":"The model is not ready.","status_code":503}', size)
    assert events == [Failed("The model is not ready.", 503)]
    (failed,) = told(CODEC, b"<html>Bad gateway</html>", size)
    assert isinstance(failed, Failed)


@pytest.mark.parametrize("size", SIZES)
def test_half_a_pair_waits_for_its_other_half(size):
    pieces = [(0, rb'{"text":"a\ud83d"}'), (0, rb'{"text":"\ude00\ud83d"}')]
    deltas = [b'{"contentBlockIndex":%d,"delta":%s}' % piece for piece in pieces]
    body = START + b"".join(event("contentBlockDelta", each) for each in deltas) + stop(0) + end()
    assert texts(told(CODEC, body, size), TextDelta) == "a😀�"


def test_what_the_host_calls_itself_is_no_call_of_the_client():
    body = START + call(0, "srv_1", "nova_grounding", type="server_tool_use") + delta(0, toolUse={"input": "{}"})
    result = event("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "srv_1"}}})
    body += stop(0) + result + delta(1, toolResult=[{"text": "x"}]) + stop(1) + delta(2, text="Found.") + stop(2)
    events = told(CODEC, body + end())
    assert not [each for each in events if isinstance(each, ToolBegan | ToolDelta)]
    assert collected(events).choices[0].parts == (Text("Found."),)


def test_citations_cover_the_text_of_their_block():
    citation = {
        "title": "Birds",
        "location": {"web": {"url": "https://x.test"}},
        "sourceContent": [{"text": "They "}, {"text": "fly."}],
    }
    body = START + delta(0, text="One. ") + stop(0) + delta(1, text="Two.") + delta(1, citation=citation) + stop(1)
    (cited,) = [each.citation for each in told(CODEC, body + end()) if isinstance(each, Cited)]
    whole = {"citationsContent": {"content": [{"text": "Two."}], "citations": [citation]}}
    said = {"output": {"message": {"content": [{"text": "One. "}, whole]}}, "stopReason": "end_turn"}
    (same,) = CODEC.decode_answer(json.dumps(said).encode(), claude()).choices[0].parts[1].citations
    assert cited == same
    assert (cited.url, cited.title, cited.quote) == ("https://x.test", "Birds", "They fly.")
    assert (cited.start, cited.end) == (5, 9)


def test_pictures_are_put_together():
    start = event("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "jpeg"}}})
    pieces = [delta(0, image={"source": {"bytes": piece}}) for piece in ("YQ==", "Yg==")]
    events = told(CODEC, START + start + b"".join(pieces) + stop(0) + end())
    assert PartMade(Media("image", "image/jpeg", data="YWI=")) in events


def test_models_of_others_keep_their_own_origin():
    events = told(CODEC, START + delta(0, reasoningContent={"text": "Hm.", "signature": "c2ln"}) + stop(0) + end())
    (state,) = [each.state for each in events if isinstance(each, ReasoningState)]
    assert state.origin.format == "bedrock-converse"


def test_odd_streams_are_put_in_order():
    body = b"".join(
        [
            delta(0, text="No start. "),
            delta(0, text=5),
            delta(None, text="No index."),
            START,
            delta("x", toolUse="x"),
            event("somethingNew", b"\x00"),
            stop(9),
            call(0, None, "f"),
            delta(0, toolUse={"input": "{}"}),
            end("end_turn"),
        ]
    )
    events = told(CODEC, body)
    answer = collected(events)
    text, made = answer.choices[0].parts
    assert (text, made.name, made.arguments) == (Text("No start. No index."), "f", "{}")
    assert len(made.id) == 29
    assert [each.finish.reason for each in events if isinstance(each, Finished)] == ["tool_calls"]


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"[]", b"{}", b'{"message":"no"}', b'{"output":{"message":5}}'])
def test_whole_answer_that_is_none_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        CODEC.decode_answer(body, claude())


def test_error_answers_name_their_exception():
    said = CODEC.decode_error(b'{"message":"Input is too long"}', {b"x-amzn-errortype": b"ValidationException"})
    assert (said.message, said.code) == ("Input is too long", "ValidationException")
