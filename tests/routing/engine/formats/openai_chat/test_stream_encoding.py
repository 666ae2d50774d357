import json

import pytest

from analytics.engine.record import Usage
from routing.engine.codec import Exchange
from routing.engine.errors import Overloaded
from routing.engine.messages import (
    Began,
    ChatRequest,
    Citation,
    Cited,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    Opaque,
    Origin,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    TextState,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.provenance import unwrap
from tests.routing.engine.formats.openai_chat.talk import CODEC, Heard, decoded, exchange, hear, listen

BEGAN = Began("msg_up", "claude-up", 7)
STOPPED = (Finished(Finish("stop")), Ended())
CALLED = (Finished(Finish("tool_calls")), Ended())
SIGNED = Opaque("SIG", Origin("anthropic", "anthropic", "chn_2", "claude"))


def asking(*, wants_usage: bool = False, **members) -> Exchange:
    return exchange(ChatRequest("openai-chat", "asked", wants_usage=wants_usage, is_stream=True, **members))


def heard(*told: StreamEvent, made: Exchange | None = None) -> Heard:
    result = hear([BEGAN, *told], made or asking())
    assert result.error is None
    return result


def written(*told: StreamEvent, made: Exchange | None = None) -> list[dict]:
    """Return the chunks of a stream as they stand on the wire, the closing mark left out."""
    encoder = CODEC.stream_encoder(made or asking())
    wire = b"".join(map(encoder.encode, told))
    return [json.loads(line[6:]) for line in wire.decode().split("\n\n") if line and line != "data: [DONE]"]


def test_frames_of_a_plain_stream():
    chunks = written(BEGAN, TextDelta("He"), TextDelta("y"), *STOPPED)
    assert {(each["id"], each["object"], each["created"], each["model"]) for each in chunks} == {
        ("chatcmpl-01TEST", "chat.completion.chunk", 7, "asked")
    }
    assert [each["choices"] for each in chunks] == [
        [{"index": 0, "delta": {"role": "assistant", "content": None}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "He"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "y"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
    ]


def test_done_is_last_and_usage_comes_only_when_asked_for():
    told = [BEGAN, TextDelta("x"), UsageReport(Usage(input_tokens=9)), *STOPPED]
    encoder = CODEC.stream_encoder(asking())
    wire = b"".join(map(encoder.encode, told))
    assert wire.endswith(b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    encoder = CODEC.stream_encoder(asking(wants_usage=True))
    *_, usage, done, rest = b"".join(map(encoder.encode, told)).decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert json.loads(usage[6:])["choices"] == []
    assert json.loads(usage[6:])["usage"]["prompt_tokens"] == 9


def test_last_usage_report_wins_and_reaches_the_sdk():
    usage = Usage(input_tokens=20, output_tokens=5, cache_read_tokens=8, cache_write_tokens=2, reasoning_tokens=3)
    told = (UsageReport(Usage(input_tokens=1)), TextDelta("x"), UsageReport(usage), *STOPPED)
    assert heard(*told, made=asking(wants_usage=True)).final["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_sdk_accumulates_thinking_text_and_calls():
    result = heard(
        ReasoningDelta("hm"),
        ReasoningDelta("m"),
        ReasoningState(SIGNED),
        TextDelta("Hé"),
        TextDelta("llo"),
        ToolBegan(0, "c1", "f", state=SIGNED),
        ToolDelta(0, '{"a"'),
        ToolBegan(1, "c2", "g"),
        ToolDelta(0, ": 1}"),
        *CALLED,
    )
    message = result.message
    assert (message["role"], message["content"], message["reasoning_content"]) == ("assistant", "Héllo", "hmm")
    (detail,) = message["reasoning_details"]
    assert (detail["type"], detail["start"], detail["end"]) == ("reasoning.encrypted", 0, 3)
    assert unwrap(detail["data"]) == SIGNED
    first, second = message["tool_calls"]
    assert (first["id"], first["type"], first["function"]["name"]) == ("c1", "function", "f")
    assert first["function"]["arguments"] == '{"a": 1}'
    assert unwrap(first["extra_content"]["google"]["thought_signature"]) == SIGNED
    assert second["function"]["arguments"] == "{}"
    assert result.final["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "told",
    [
        (ToolBegan(0, "c", "f"),),
        (ToolBegan(0, "c", "f"), ToolDelta(0, ""), ToolEnded(0)),
        (ToolBegan(0, "c", "f"), ToolEnded(0), TextDelta("after")),
        (ToolBegan(0, "c", "f"), ToolDelta(0, "{"), ToolDelta(0, "}"), ToolEnded(0)),
    ],
)
def test_call_without_arguments_has_an_empty_object_once(told):
    (made,) = heard(*told, *CALLED).message["tool_calls"]
    assert made["function"]["arguments"] == "{}"


def test_content_of_a_turn_of_calls_is_null():
    assert heard(ToolBegan(0, "c", "f"), *CALLED).message.get("content") is None


def test_custom_calls_keep_their_free_text():
    told = (ToolBegan(0, "c", "patch", is_custom=True), ToolDelta(0, "*** "), ToolDelta(0, "x"), ToolEnded(0), *CALLED)
    (made,) = heard(*told).message["tool_calls"]
    assert (made["type"], made["custom"]) == ("custom", {"name": "patch", "input": "*** x"})


def test_choices_begin_in_order_and_finish_once():
    told = (
        TextDelta("b", 2),
        TextDelta("a"),
        Finished(Finish("stop"), 0),
        Finished(Finish("stop"), 0),
        Finished(Finish("length"), 2),
        Finished(Finish("filter"), 1),
        Ended(),
    )
    result = heard(*told)
    assert [each["finish_reason"] for each in result.final["choices"]] == ["stop", "content_filter", "length"]
    assert [each["message"].get("content") for each in result.final["choices"]] == ["a", None, "b"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("filter", "content_filter"),
        ("pause", "stop"),
        ("other", "stop"),
        ("tool_calls", "stop"),
    ],
)
def test_finish_reasons_are_of_the_closed_set(reason, word):
    assert heard(TextDelta("x"), Finished(Finish(reason)), Ended()).final["choices"][0]["finish_reason"] == word


@pytest.mark.parametrize(("reason", "word"), [("stop", "tool_calls"), ("other", "tool_calls"), ("length", "length")])
def test_call_outranks_a_plain_stop(reason, word):
    told = (ToolBegan(0, "c", "f"), Finished(Finish(reason)), Ended())
    assert heard(*told).final["choices"][0]["finish_reason"] == word


def test_silence_is_explained():
    message = heard(Finished(Finish("filter", message="blocked")), Ended()).message
    assert (message["refusal"], message.get("content")) == ("blocked", None)
    message = heard(Finished(Finish("other", message="odd end")), Ended()).message
    assert message["content"] == "odd end"
    message = heard(TextDelta("x"), Finished(Finish("filter", message="blocked")), Ended()).message
    assert (message["content"], message.get("refusal")) == ("x", None)


def test_parts_of_one_reasoning_stay_apart_and_segments_have_their_states():
    result = heard(
        ReasoningDelta("a", part=0),
        ReasoningDelta("b", part=1),
        ReasoningState(SIGNED),
        TextDelta("x"),
        ReasoningDelta("c"),
        PartEnded(),
        ReasoningState(SIGNED, is_redacted=True),
        *STOPPED,
    )
    assert result.message["reasoning_content"] == "a\n\nbc"
    one, two = result.message["reasoning_details"]
    assert (one["start"], one["end"], one["index"]) == (0, 4, 0)
    assert (two["start"], two["end"], two["index"], two["redacted"]) == (5, 5, 1, True)


def test_state_without_content_leaves_no_trace():
    empty = Opaque("", SIGNED.origin)
    result = heard(ReasoningDelta("a"), ReasoningState(empty), ToolBegan(0, "c", "f", state=empty), *CALLED)
    assert "reasoning_details" not in result.message
    assert "extra_content" not in result.message["tool_calls"][0]


def test_refusals_are_told_as_such():
    message = heard(TextDelta("I can't", is_refusal=True), TextDelta(".", is_refusal=True), *STOPPED).message
    assert (message["refusal"], message.get("content")) == ("I can't.", None)


def test_citations_span_their_passage_and_are_accumulated():
    made = asking()
    result = heard(
        TextDelta("ab"),
        Cited(Citation("https://a.example/1", "one")),
        TextDelta("c"),
        PartEnded(),
        TextDelta("de"),
        Cited(Citation("https://a.example/2", start=0, end=5)),
        Cited(Citation(title="page 3")),
        *STOPPED,
        made=made,
    )
    sources = [each["url_citation"] for each in result.message["annotations"]]
    assert [(each["url"], each["start_index"], each["end_index"]) for each in sources] == [
        ("https://a.example/1", 0, 3),
        ("https://a.example/2", 0, 5),
    ]
    assert made.answer_losses.codes == ("dropped:citations",)


def test_pictures_voices_and_logprobs():
    made = asking()
    result = heard(
        TextDelta("x"),
        LogprobsDelta([{"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}]),
        PartMade(Media("image", "image/png", data="AA")),
        PartMade(Media("image", url="https://a.example/b.png")),
        PartMade(Native("openai-chat", "audio", {"id": "a1", "data": "QQ"})),
        PartMade(Native("openai-chat", "audio", {"data": "Qg"})),
        PartMade(Native("anthropic", "server_tool_use", {})),
        TextState(SIGNED),
        *STOPPED,
        made=made,
    )
    assert [each["image_url"]["url"] for each in result.message["images"]] == [
        "data:image/png;base64,AA",
        "https://a.example/b.png",
    ]
    assert result.message["audio"] == {"id": "a1", "data": "QQQg"}
    assert result.final["choices"][0]["logprobs"]["content"][0]["token"] == "x"
    assert made.answer_losses.codes == ("dropped:server_tool_use",)


def test_clients_of_legacy_functions_get_a_function_call():
    made = exchange(decoded(functions=[{"name": "f"}], stream=True))
    told = (ToolBegan(0, "c", "f"), ToolDelta(0, '{"a":1}'), ToolBegan(1, "d", "f"), ToolDelta(1, "{}"), *CALLED)
    result = heard(*told, made=made)
    assert result.message["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in result.message
    assert result.final["choices"][0]["finish_reason"] == "function_call"
    assert made.answer_losses.codes == ("dropped:tool_calls",)


def test_error_makes_the_sdk_raise_and_nothing_follows():
    encoder = CODEC.stream_encoder(asking())
    pieces = [encoder.encode(BEGAN), encoder.encode(TextDelta("x"))]
    result = listen([*pieces, encoder.fail(Overloaded("too busy"), "req_1")])
    assert "too busy" in str(result.error)
    assert result.error.body["request_id"] == "req_1"
    assert listen([CODEC.stream_encoder(asking()).fail(Overloaded("too busy"), "req_1")]).error is not None


def test_deltas_before_any_beginning_open_the_stream():
    chunks = written(TextDelta("x"), *STOPPED)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[0]["created"] > 0


def test_answer_without_a_request_id_has_an_id_all_the_same():
    made = asking()
    made.request_id = ""
    ids = {each["id"] for each in written(BEGAN, TextDelta("x"), *STOPPED, made=made)}
    assert len(ids) == 1
    assert len(ids.pop()) > len("chatcmpl-")
