import json

import pytest

from analytics.engine.record import Usage
from routing.engine.messages import (
    Began,
    Citation,
    Ended,
    Failed,
    Finish,
    Finished,
    Media,
    Native,
    PartMade,
    Reasoning,
    ReasoningState,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
    UsageReport,
)
from tests.routing.engine.formats.openai_chat.talk import (
    CODEC,
    DONE,
    STOP,
    chunk,
    collected,
    event,
    events,
    exchange,
    failure,
)

ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "x"})


def only(stream: bytes, **options):
    """Return the one choice that a stream tells."""
    (choice,) = collected(stream, **options).choices
    return choice


def call(arguments=None, *, index=0, id=None, name=None, kind="function", **more) -> bytes:
    inner = {"arguments": arguments} if kind == "function" else {"input": arguments}
    entry = {"id": id, "type": kind, kind: {"name": name, **inner}, **more}
    if index is not None:
        entry["index"] = index
    return chunk({"tool_calls": [entry]})


# --- the course of a stream --------------------------------------------------------------------------------------


def test_events_of_a_plain_stream():
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert events(ROLE + TEXT + chunk({"content": "y"}) + chunk(finish="stop") + usage + DONE) == [
        Began("up1", "up-model", 7),
        TextDelta("x"),
        TextDelta("y"),
        UsageReport(Usage(input_tokens=3, output_tokens=2)),
        Finished(Finish("stop")),
        Ended(),
    ]


def test_end_waits_for_late_usage():
    decoder = CODEC.stream_decoder(exchange())
    assert not any(isinstance(each, Ended) for each in decoder.feed(TEXT + chunk(finish="stop")))
    assert isinstance(decoder.feed(event({"choices": [], "usage": {"prompt_tokens": 1}}))[0], UsageReport)
    assert isinstance(decoder.finish()[-1], Ended)


@pytest.mark.parametrize("stream", [TEXT, TEXT + DONE, DONE, b"", ROLE, b": ka\n\n", event({"choices": []}) + DONE])
def test_stream_without_its_finish_reason_has_no_end(stream):
    assert not any(isinstance(each, Ended | Failed) for each in events(stream))


def test_every_choice_must_finish():
    two = TEXT + chunk({"content": "y"}, index=1) + chunk(finish="stop")
    assert not any(isinstance(each, Ended) for each in events(two + DONE))
    answer = collected(two + chunk(finish="length", index=1) + DONE)
    assert [(choice.parts, choice.finish) for choice in answer.choices] == [
        ((Text("x"),), Finish("stop")),
        ((Text("y"),), Finish("length")),
    ]


def test_choices_that_were_asked_for_are_missed_without_done():
    made = exchange()
    made.request = CODEC.decode_request(b'{"model":"m","messages":[],"n":2}')
    assert not any(isinstance(each, Ended) for each in events(TEXT + chunk(finish="stop"), made))


def test_nothing_is_told_after_the_end():
    assert events(TEXT + STOP + TEXT + STOP) == events(TEXT + STOP)
    broken = event({"error": {"message": "m"}})
    assert events(TEXT + broken + TEXT + STOP) == events(TEXT + broken)


def test_finish_reason_on_every_chunk_is_told_once():
    stream = chunk({"content": "a"}, finish="stop") + chunk({"content": "b"}, finish="stop") + DONE
    assert only(stream).parts == (Text("ab"),)


def test_stop_does_not_take_back_that_the_answer_was_cut():
    assert only(TEXT + chunk(finish="length") + chunk(finish="stop") + DONE).finish == Finish("length")


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", Finish("stop")),
        ("eos", Finish("stop")),
        ("length", Finish("length")),
        ("max_tokens", Finish("length")),
        ("content_filter", Finish("filter")),
        ("sensitive", Finish("filter")),
        ("tool_calls", Finish("stop")),
        ("function_call", Finish("stop")),
        ("surprise", Finish("other", detail="surprise")),
        (7, Finish("other", detail="7")),
    ],
)
def test_finish_reasons(word, finish):
    assert only(TEXT + chunk(finish=word) + DONE).finish == finish


@pytest.mark.parametrize(("word", "reason"), [("stop", "tool_calls"), ("eos", "tool_calls"), ("length", "length")])
def test_call_outranks_a_plain_stop(word, reason):
    assert only(call("{}", id="c", name="f") + chunk(finish=word) + DONE).finish.reason == reason


@pytest.mark.parametrize("member", ["stop_reason", "matched_stop"])
def test_stop_sequence_is_told_where_the_server_names_it(member):
    assert only(TEXT + chunk(finish="stop", choice={member: "END"}) + DONE).finish == Finish("stop_sequence", "END")
    assert only(TEXT + chunk(finish="stop", choice={member: 128009}) + DONE).finish == Finish("stop")


# --- what servers add --------------------------------------------------------------------------------------------


def test_filter_results_and_empty_choices_are_nothing():
    first = event({"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{}]})
    late = event(
        {"id": "", "object": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}
    )
    whole = events(first + ROLE + TEXT + late + event({"choices": [], "usage": None}) + STOP)
    assert whole[0] == Began("up1", "up-model", 7)
    assert whole[1:] == events(TEXT + STOP)[1:]


def test_several_data_lines_and_odd_line_ends_are_one_event():
    data = TEXT[6:-2].replace(b'"model"', b'\r\ndata: "model"')
    stream = b"\xef\xbb\xbf: hi\r\n\r\nid: 7\r\nretry: 5\r\ndata:" + data + b"\r\n\r\n" + STOP.replace(b"\n", b"\r")
    assert only(stream).parts == (Text("x"),)


@pytest.mark.parametrize("junk", [b"null", b"5", b'"ping"', b"{}", b"[]", b'{"type":"ping"}', b'{"choices":"odd"}'])
def test_events_that_say_nothing_are_passed_over(junk):
    assert events(TEXT + event(junk) + STOP) == events(TEXT + STOP)


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [{"index": "0", "delta": {"content": "x"}}]},
        {"choices": [{"index": None, "delta": {"content": "x"}}, 5]},
        {"choices": [{"delta": {"content": "x", "tool_calls": 5, "reasoning": 7, "images": 3, "audio": "a"}}]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"message": {"content": "x"}}]},
        {"choices": [{"delta": {"content": "x", "tool_calls": [], "annotations": None}}], "usage": "?"},
        {"choices": [{"delta": {"content": {"type": "text", "text": "x"}}, "logprobs": 4}], "id": 7, "model": []},
        {"choices": [{"index": -3, "delta": {"content": "x"}}], "created": "now"},
        {"choices": [{"index": True, "delta": {"content": "x"}}], "created": True},
    ],
)
def test_wrong_types_cost_only_themselves(odd):
    assert only(event(odd) + STOP).parts == (Text("x"),)


def test_typed_parts_are_told_apart():
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "x"}, "y"]
    assert only(chunk({"content": content}) + STOP).parts == (Reasoning(("hm",)), Text("xy"))


LOGPROB = {"token": "x", "logprob": -1, "bytes": "?", "top_logprobs": [{"token": "a", "logprob": 0, "bytes": [97]}, 1]}


def test_refusals_pictures_voices_citations_and_logprobs():
    source = {"url": "https://a.example", "title": "t", "start_index": 0, "end_index": 1}
    stream = (
        TEXT
        + chunk({"annotations": [{"type": "url_citation", "url_citation": source}]})
        + chunk({"refusal": "no"})
        + chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]})
        + chunk({"audio": {"id": "a1", "data": "QQ"}})
        + chunk(choice={"logprobs": {"content": [LOGPROB, 5, {"token": 7}, {"token": "y"}]}})
        + STOP
    )
    choice = only(stream)
    assert choice.parts == (
        Text("x", citations=(Citation("https://a.example", "t", 0, 1),)),
        Text("no", is_refusal=True),
        Media("image", "image/png", data="AA"),
        Native("openai-chat", "audio", {"id": "a1", "data": "QQ"}),
    )
    assert choice.logprobs == [
        {**LOGPROB, "bytes": None, "top_logprobs": [{"token": "a", "logprob": 0, "bytes": [97]}]}
    ]


@pytest.mark.parametrize(
    "body",
    [
        {
            "id": "a",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        },
        {"id": "a", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}]},
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_plain_completion_in_place_of_a_stream(body, end):
    for written in (json.dumps(body), json.dumps(body, indent=2)):
        assert only(written.encode() + end).parts == (Text("x"),)


# --- thinking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "content": ""},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
    ],
)
def test_reasoning_is_told_once(delta):
    assert only(chunk(delta) + TEXT + STOP).parts == (Reasoning(("hm",)), Text("x"))


def test_details_become_one_state_as_their_issuer_wrote_them():
    stream = (
        chunk({"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}]})
        + chunk({"reasoning": "b", "reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}]})
        + chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "SIG", "index": 0, "text": None}]})
        + TEXT
        + STOP
    )
    thought, text = only(stream).parts
    assert (thought.texts, text) == (("ab",), Text("x"))
    assert thought.state.place == "reasoning_details"
    assert thought.state.origin == exchange().target.origin()
    assert json.loads(thought.state.blob) == [{"type": "reasoning.text", "text": "ab", "index": 0, "signature": "SIG"}]


def test_details_that_come_after_the_calls_are_told_at_the_end():
    details = [{"type": "reasoning.encrypted", "data": "E1"}, {"type": "reasoning.encrypted", "data": "E2"}]
    stream = chunk({"reasoning": "hm"}) + call("{}", id="c", name="f") + chunk({"reasoning_details": details}) + STOP
    told = events(stream)
    (state,) = [each for each in told if isinstance(each, ReasoningState)]
    assert json.loads(state.state.blob) == details
    assert isinstance(told[-2], Finished)


@pytest.mark.parametrize(
    ("pieces", "parts"),
    [
        (["<think>hm</think>x"], (Reasoning(("hm",)), Text("x"))),
        (list("<think>\nhm\n</think>\n\nx < y"), (Reasoning(("hm\n",)), Text("x < y"))),
        (["  \n<thi", "nk>a</", "b></thi", "nk>", "\n", "x"], (Reasoning(("a</b>",)), Text("x"))),
        (["<thin", "g>x"], (Text("<thing>x"),)),
        (["a<think>b</think>"], (Text("a<think>b</think>"),)),
        (["<think>all of it"], (Reasoning(("all of it",)),)),
        (["<think>cut</th"], (Reasoning(("cut</th",)),)),
        (["<thi"], (Text("<thi"),)),
        ([" " * 100 + "<think>x"], (Text(" " * 100 + "<think>x"),)),
        (["<think></think>x"], (Text("x"),)),
    ],
)
def test_think_tags_are_read_where_the_target_has_them(pieces, parts):
    stream = b"".join(chunk({"content": piece}) for piece in pieces) + STOP
    assert only(stream, think_tags=True).parts == parts


def test_think_tags_stay_text_elsewhere():
    assert only(chunk({"content": "<think>hm</think>x"}) + STOP).parts == (Text("<think>hm</think>x"),)


# --- calls -------------------------------------------------------------------------------------------------------


def calls(stream: bytes) -> list[ToolCall]:
    return [part for part in only(stream).parts if isinstance(part, ToolCall)]


def test_calls_in_pieces_that_take_turns():
    stream = (
        call("", id="a", name="f")
        + call("", index=1, id="b", name="g")
        + call('{"x"')
        + call('{"y"', index=1)
        + call(":1}")
        + call(":2}", index=1)
        + STOP
    )
    assert calls(stream) == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}')]


def test_repeated_headers_are_told_once():
    stream = b"".join(call(piece, id="a", name="f") for piece in ("{", '"x":', "1}")) + STOP
    assert calls(stream) == [ToolCall("a", "f", '{"x":1}')]


def test_gaps_in_indexes_are_closed():
    stream = call("{}", index=1, id="a", name="f") + call("{}", index=5, id="b", name="g") + STOP
    assert [each.call for each in events(stream) if isinstance(each, ToolBegan)] == [0, 1]


def test_calls_without_index_are_told_apart_by_id():
    stream = (
        call('{"x"', index=None, id="a", name="f")
        + call('{"y"', index=None, id="b", name="g")
        + call(":1}", index=None, id="a")
        + call(":2}", index=None, id="b")
        + STOP
    )
    assert calls(stream) == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}')]


def test_whole_calls_that_share_an_index_are_told_apart_by_id():
    stream = call("{}", id="a", name="f") + call('{"x":1}', id="b", name="f") + STOP
    assert calls(stream) == [ToolCall("a", "f", "{}"), ToolCall("b", "f", '{"x":1}')]


def test_whole_calls_without_index_and_id():
    one = chunk({"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f"}}]})
    both = calls(one + STOP)
    assert [(each.name, each.arguments) for each in both] == [("f", '{"x":1}'), ("f", "")]
    assert len({each.id for each in both}) == 2
    stream = call('{"x":1}', index=None, name="f") + call('{"x":2}', index=None, name="f") + STOP
    assert [each.arguments for each in calls(stream)] == ['{"x":1}', '{"x":2}']


def test_random_id_on_every_piece_is_still_one_call():
    stream = call("{", id="r1", name="f") + call("}", id="r2") + STOP
    assert calls(stream) == [ToolCall("r1", "f", "{}")]


def test_late_name_and_late_id_are_waited_for():
    assert calls(call("{", id="a") + call("}", name="f") + STOP) == [ToolCall("a", "f", "{}")]
    assert calls(call("", name="f") + call("{}", id="a") + STOP) == [ToolCall("a", "f", "{}")]
    assert calls(call("", index=None, name="f") + call("{}", index=None, id="a") + STOP) == [ToolCall("a", "f", "{}")]


def test_missing_id_is_minted_the_same_way():
    stream = call("{", name="f") + call("}") + STOP
    (made,) = calls(stream)
    assert made == ToolCall(made.id, "f", "{}")
    assert made.id.startswith("call_")


def test_call_without_arguments_or_pieces():
    assert calls(call(None, id="a", name="f") + chunk({"tool_calls": []}) + STOP) == [ToolCall("a", "f")]
    assert calls(call("", name="f") + STOP)[0].name == "f"


def test_call_without_any_name_fails():
    assert "naming" in failure(call("{}", id="a") + STOP).message


def test_entries_that_say_nothing_are_no_calls():
    assert only(TEXT + chunk({"tool_calls": [{"index": 0}, 5, {"index": 1, "function": {}}]}) + STOP).parts == (
        Text("x"),
    )


def test_custom_calls_and_legacy_function_calls():
    stream = call("", id="a", name="p", kind="custom") + call("*** x", kind="custom") + STOP
    assert calls(stream) == [ToolCall("a", "p", "*** x", is_custom=True)]
    legacy = chunk({"function_call": {"name": "f", "arguments": "{"}}) + chunk({"function_call": {"arguments": "}"}})
    (made,) = calls(legacy + chunk(finish="function_call") + DONE)
    assert (made.name, made.arguments) == ("f", "{}")


def test_state_on_a_call_is_issued():
    signed = call("{}", id="a", name="f", extra_content={"google": {"thought_signature": "SIG"}})
    (made,) = calls(signed + STOP)
    assert made.state == exchange().issued("SIG", "call")


# --- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "usage"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(input_tokens=10, output_tokens=2, cache_read_tokens=4),
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 4}, Usage(input_tokens=10, cache_read_tokens=4)),
        ({"prompt_tokens": 10, "cached_tokens": 4}, Usage(input_tokens=10, cache_read_tokens=4)),
        (
            {"prompt_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            Usage(input_tokens=10, cache_read_tokens=4, cache_write_tokens=3),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 2},
            Usage(input_tokens=10, output_tokens=5, reasoning_tokens=2),
        ),
        ({"prompt_tokens": 10, "completion_tokens": "2", "prompt_tokens_details": []}, Usage(input_tokens=10)),
        ({"prompt_tokens": {}, "input_tokens": 2**70, "prompt_tokens_details": -1}, Usage(input_tokens=2**70)),
        ({"prompt_tokens": -5, "completion_tokens": 2}, Usage(output_tokens=2)),
    ],
)
def test_spellings_of_usage(members, usage):
    assert collected(TEXT + chunk(finish="stop", usage=members) + DONE).usage == usage


def test_usage_beside_the_cache_is_added_up():
    members = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
    usage = collected(TEXT + chunk(finish="stop", usage=members) + DONE, input_includes_cache=False).usage
    assert usage == Usage(input_tokens=50, cache_read_tokens=40)


def test_usage_in_odd_places_and_the_last_report_wins():
    first = chunk({"content": "x"}, usage={"prompt_tokens": 1})
    inside = chunk(finish="stop", choice={"usage": {"prompt_tokens": 2}})
    assert collected(first + inside + DONE).usage == Usage(input_tokens=2)
    alone = event({"usage": {"prompt_tokens": 3}}) + event({"choices": [], "usage": None})
    assert collected(first + inside + alone + DONE).usage == Usage(input_tokens=3)


def test_usage_before_anything_else_waits_for_the_beginning():
    early = event({"choices": [], "usage": {"prompt_tokens": 3}})
    assert events(early + TEXT + STOP)[:2] == [Began("up1", "up-model", 7), UsageReport(Usage(input_tokens=3))]
    assert events(early) == []


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "failed"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": 500}}, Failed("m", 500, "server_error")),
        ({"error": {"message": "m", "code": "rate_limit_exceeded"}}, Failed("m", 429, "rate_limit_exceeded")),
        ({"error": {"message": "m", "code": 502}, "choices": []}, Failed("m", 502)),
        ({"error": {"message": "m", "code": "429", "type": "requests"}}, Failed("m", 429, "requests")),
        ({"error": "m", "error_type": "overloaded"}, Failed("m", 0, "overloaded")),
        (
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            Failed("m", 400, "BadRequestError"),
        ),
        ({"code": "InvalidParameter", "message": "m", "request_id": "r"}, Failed("m", 0, "InvalidParameter")),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, Failed("m")),
        (
            [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
            Failed("m", 400, "INVALID_ARGUMENT"),
        ),
        (
            {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "slow down"}}},
            Failed("Provider returned error: slow down", 429),
        ),
        ({"error": {"type": "overloaded_error"}}, Failed("the upstream reported an error", 503, "overloaded_error")),
    ],
)
def test_errors_inside_the_stream(data, failed):
    assert failure(TEXT + event(data) + DONE) == failed
    # The same in place of the stream, as a plain body.
    assert failure(json.dumps(data).encode()) == failed


def test_null_error_is_none():
    assert only(chunk({"content": "x"}, error=None) + STOP).parts == (Text("x"),)


def test_error_event_by_name():
    assert failure(TEXT + b'event: error\ndata: {"message":"m"}\n\n').message == "m"


@pytest.mark.parametrize(
    ("word", "status"), [("error", 502), ("insufficient_system_resource", 503), ("network_error", 502), ("abort", 502)]
)
def test_finish_reasons_of_an_upstream_that_broke(word, status):
    assert failure(TEXT + chunk(finish=word)).status == status


def test_error_of_a_choice():
    stream = TEXT + chunk(finish="error", choice={"error": {"code": 429, "message": "m"}}) + DONE
    assert failure(stream) == Failed("m", 429)


@pytest.mark.parametrize(
    "data", [b"{", b'{"choices":[}', b"<html>", b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"a":"\xff"}']
)
def test_what_is_no_json_fails(data):
    assert "JSON" in failure(TEXT + event(data) + STOP).message


def test_torn_last_event_fails_unless_the_answer_was_whole():
    assert isinstance(events(TEXT + chunk(finish="stop")[:-20])[-1], Failed)
    usage = event({"choices": [], "usage": {"prompt_tokens": 3}})
    for last in (usage[:-9], b"data: [DON", b"data: {"):
        assert only(TEXT + chunk(finish="stop") + last).parts == (Text("x"),)


def test_last_event_without_its_blank_line_counts():
    assert only(TEXT + chunk(finish="stop")[:-2]).parts == (Text("x"),)


# --- half characters ---------------------------------------------------------------------------------------------


def cut(member: str, *pieces: bytes) -> bytes:
    return b"".join(
        b'data: {"choices":[{"index":0,"delta":{"' + member.encode() + b'":"' + piece + b'"}}]}\n\n' for piece in pieces
    )


@pytest.mark.parametrize(
    ("member", "part"),
    [
        ("content", Text("a😀b")),
        ("refusal", Text("a😀b", is_refusal=True)),
        ("reasoning_content", Reasoning(("a😀b",))),
        ("reasoning", Reasoning(("a😀b",))),
    ],
)
def test_halves_of_a_character_are_joined(member, part):
    assert only(cut(member, b"a\\ud83d", b"\\ude00b") + STOP).parts == (part,)


def test_halves_alone_become_replacement_characters():
    assert only(cut("content", b"a\\ud83d", b"b\\ude00", b"c\\ud83d") + STOP).parts == (Text("a\ufffdb\ufffdc\ufffd"),)


def test_halves_in_arguments_are_joined():
    def piece(text: bytes, name: bytes = b"") -> bytes:
        header = b'"id":"a",' if name else b""
        inner = b'{"name":"f","arguments":"' + text + b'"}' if name else b'{"arguments":"' + text + b'"}'
        return (
            b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,'
            + header
            + b'"function":'
            + inner
            + b"}]}}]}\n\n"
        )

    stream = piece(b'{\\"x\\":\\"\\ud83d', b"f") + piece(b'\\ude00\\"}') + STOP
    assert calls(stream) == [ToolCall("a", "f", '{"x":"😀"}')]
    assert calls(piece(b'{\\"\\ud83d', b"f") + STOP)[0].arguments == '{"\ufffd'


def test_characters_cut_between_bytes_lose_nothing():
    stream = chunk({"content": "x"}).replace(b'"x"', '"héllo 한국어 😀"'.encode()) + STOP
    assert only(stream).parts == (Text("héllo 한국어 😀"),)


# --- cost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        b"".join(cut("content", b"\\ud83d") for _ in range(15_000)),
        b"".join(chunk({"content": "\n"}) for _ in range(8_000)),
        b"".join(chunk({"content": " "}) for _ in range(8_000)),
        b"".join(chunk({"content": "<think>" if place == 0 else "</"}) for place in range(8_000)),
        b"".join(call("{", index=place, id=f"c{place}") for place in range(6_000)),
        b"".join(call("{", index=place % 2, id=f"c{place}", name=f"f{place}") for place in range(6_000)),
        b"".join(chunk({"content": "x"}, index=place) for place in range(8_000)),
        b"".join(chunk({"reasoning_details": [{"type": "reasoning.text", "data": "x"}]}) for _ in range(7_000)),
        event(b'{"choices":' + b"[" * 1_000_000),
        b"data: {" + b'"a":{' * 200_000 + b"\n\n",
        b'{"choices":[{"message":{"content":"' + b"\\ud83d" * 170_000 + b'"}}]}',
    ],
)
@pytest.mark.timeout(20)  # a second at most where each byte is looked at once; an hour where it is not
def test_a_megabyte_of_hostile_input_comes_to_an_end(stream):
    told = events(stream + STOP, exchange(think_tags=True))
    assert sum(isinstance(each, Ended | Failed) for each in told) <= 1


def test_first_content_is_told_at_once():
    told = CODEC.stream_decoder(exchange()).feed(ROLE + TEXT)
    assert told == [Began("up1", "up-model", 7), TextDelta("x")]
    made = CODEC.stream_decoder(exchange()).feed(call("{", id="a", name="f"))
    assert made[1:] == [ToolBegan(0, "a", "f"), ToolDelta(0, "{")]
    shown = CODEC.stream_decoder(exchange()).feed(chunk({"images": [{"image_url": {"url": "https://a.example/b"}}]}))
    assert shown[1:] == [PartMade(Media("image", url="https://a.example/b"))]
