import json

import pytest

from analytics.engine.record import Usage
from routing.engine.answers import Collector, events_of, without_empty
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Citation,
    Finish,
    Media,
    Native,
    Opaque,
    Origin,
    Reasoning,
    Text,
    ToolCall,
)
from routing.engine.provenance import unwrap
from tests.routing.engine.formats.openai_chat.talk import CODEC, STOP, chunk, decoded, exchange, hear, read_whole

SIGNED = Opaque("SIG", Origin("anthropic", "anthropic", "chn_2", "claude"))


def completion(message: object, finish: object = "stop", **more) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "up1", "created": 7, "model": "up-model", "choices": [choice], **more}).encode()


def understood(body: bytes, **options) -> ChatAnswer:
    return CODEC.decode_answer(body, exchange(**options))


STOPPED = Finish("stop")


def told(*parts, finish: Finish | None = STOPPED, made=None, **more) -> dict:
    """Return a whole answer as the official SDK reads it."""
    answer = ChatAnswer("msg_1", "claude", 7, (Choice(parts, finish),), **more)
    return read_whole(CODEC.encode_answer(answer, made or exchange()))


def message(*parts, **options) -> dict:
    return told(*parts, **options)["choices"][0]["message"]


# --- from an upstream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indexes", [({}, {}), ({"index": 0}, {"index": 1})])
def test_calls_that_share_an_id_are_told_apart(indexes):
    calls = [{"id": "x", "function": {"name": "f", "arguments": f'{{"n":{n}}}'}, **indexes[n]} for n in (0, 1)]
    one, two = understood(completion({"tool_calls": calls}, "tool_calls")).choices[0].parts
    assert (one.arguments, two.arguments) == ('{"n":0}', '{"n":1}')
    assert one.id == "x" != two.id


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_by_any_of_its_names(member):
    assert understood(completion({"content": "x", member: "hm"})).choices[0].parts == (Reasoning(("hm",)), Text("x"))


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6}},
        {"prompt_tokens_details": {"cached_tokens": 64, "cache_creation_input_tokens": 6, "cache_type": "ephemeral"}},
        {"prompt_tokens_details": {"cache_read_input_tokens": 64.0, "cache_creation_tokens": 6.0}},
        {"cache_read_input_tokens": 64, "cache_creation_input_tokens": 6},
        {"prompt_cache_hit_tokens": 64, "cache_write_tokens": 6},
    ],
)
def test_cached_tokens_by_any_of_their_names(counts):
    usage = understood(
        completion({"content": "x"}, usage={"prompt_tokens": 100, "completion_tokens": 5, **counts})
    ).usage
    assert usage == Usage(input_tokens=100, output_tokens=5, cache_read_tokens=64, cache_write_tokens=6)


def test_whole_answer():
    answer = understood(
        completion(
            {
                "role": "assistant",
                "content": "Let me look.",
                "reasoning_content": "hm",
                "annotations": [
                    {"type": "url_citation", "url_citation": {"url": "u", "start_index": 0, "end_index": 3}}
                ],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
                ],
            },
            "stop",
            usage={"prompt_tokens": 15, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
            service_tier="flex",
        )
    )
    assert answer == ChatAnswer(
        "up1",
        "up-model",
        7,
        (
            Choice(
                (
                    Reasoning(("hm",)),
                    Text("Let me look.", citations=(Citation("u", start=0, end=3),)),
                    ToolCall("c1", "f", '{"a": 1}'),
                    ToolCall("c2", "g"),
                ),
                Finish("tool_calls"),
            ),
        ),
        Usage(input_tokens=15, output_tokens=5, cache_read_tokens=4),
        "flex",
    )


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ({"content": None}, ()),
        ({"content": None, "refusal": "no"}, (Text("no", is_refusal=True),)),
        (
            {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}]},
            (Reasoning(("hm",)), Text("x")),
        ),
        ({"content": "x", "audio": {"id": "a"}}, (Text("x"), Native("openai-chat", "audio", {"id": "a"}))),
        (
            {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]},
            (ToolCall("c", "f", '{"a":1}'),),
        ),
        ({"content": "a\ud83d\ude00"}, (Text("a😀"),)),
        ("x", (Text("x"),)),
    ],
)
def test_shapes_of_messages(said, parts):
    assert understood(completion(said)).choices[0].parts == parts


def test_finish_reason_may_be_missing_in_a_whole_answer():
    assert understood(completion({"content": "x"}, None)).choices[0].finish == Finish("stop")


def test_think_tags_are_read_where_the_target_has_them():
    body = completion({"content": "<think>hm</think>\n\nx"})
    assert understood(body, think_tags=True).choices[0].parts == (Reasoning(("hm",)), Text("x"))


def test_stream_in_place_of_a_whole_answer_is_collected():
    body = b": hi\n\n" + chunk({"content": "x"}) + STOP
    assert understood(body).choices[0].parts == (Text("x"),)


def test_fewer_answers_than_asked_for_are_still_answers():
    made = exchange(ChatRequest("openai-chat", "m", choices=3))
    assert len(CODEC.decode_answer(completion({"content": "x"}), made).choices) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"quota is gone"}}', "quota is gone"),
        (b'{"error":"quota is gone"}', "quota is gone"),
        (b'{"object":"error","message":"quota is gone"}', "quota is gone"),
        (b'[{"error":{"message":"quota is gone"}}]', "quota is gone"),
        (completion({"content": "x"}, "insufficient_system_resource"), "broke"),
        (b"{}", "no choices"),
        (b'{"choices":[]}', "no choices"),
        (b'{"choices":null}', "no choices"),
        (b"null", "no choices"),
        (b"", "JSON"),
        (b"<html>", "JSON"),
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        (chunk({"content": "x"}), "no choices"),
    ],
)
def test_what_is_no_answer_is_refused(body, words):
    with pytest.raises(ValueError, match=words):
        understood(body)


# --- to a client -------------------------------------------------------------------------------------------------


def test_completion_has_every_member_that_sdks_read():
    usage = Usage(input_tokens=127, output_tokens=9, cache_read_tokens=100, cache_write_tokens=7)
    body = told(Reasoning(("t1",), SIGNED), Text("A"), Text("B"), ToolCall("c1", "f"), usage=usage, service_tier="odd")
    (detail,) = body["choices"][0]["message"].pop("reasoning_details")
    assert unwrap(detail.pop("data")) == SIGNED
    assert detail == {"type": "reasoning.encrypted", "index": 0, "start": 0, "end": 2}
    assert body == {
        "id": "chatcmpl-01TEST",
        "object": "chat.completion",
        "created": 7,
        "model": "asked",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "AB",
                    "refusal": None,
                    "reasoning_content": "t1",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 127,
            "completion_tokens": 9,
            "total_tokens": 136,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
    }


def test_missing_numbers_are_zero_and_time_is_now():
    body = read_whole(CODEC.encode_answer(ChatAnswer(), exchange()))
    assert body["usage"]["total_tokens"] == 0
    assert body["created"] > 0
    assert body["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ((), ""),
        ((ToolCall("c", "f"),), None),
        ((Text("no", is_refusal=True),), None),
        ((Text("x"), ToolCall("c", "f")), "x"),
    ],
)
def test_content_is_null_only_where_something_else_was_done(parts, content):
    assert message(*parts)["content"] == content


def test_tool_calls_are_absent_where_there_are_none():
    assert (
        not {"tool_calls", "annotations", "images", "reasoning_content", "reasoning_details"}
        & message(Text("x")).keys()
    )


def test_call_without_an_id_gets_one():
    one, two = message(ToolCall("", "f"), ToolCall("", "f"))["tool_calls"]
    assert one["id"].startswith("call_")
    assert one["id"] != two["id"]


def test_custom_calls_and_state_on_calls():
    custom, signed = message(ToolCall("c", "p", "*** x", is_custom=True), ToolCall("d", "f", state=SIGNED))[
        "tool_calls"
    ]
    assert custom == {"id": "c", "type": "custom", "custom": {"name": "p", "input": "*** x"}}
    assert unwrap(signed["extra_content"]["google"]["thought_signature"]) == SIGNED


def test_citations_without_a_passage_span_their_text():
    text = Text(
        "def", citations=(Citation("https://a.example", "t"), Citation("u", start=1, end=2), Citation(title="p. 3"))
    )
    made = exchange()
    sources = [each["url_citation"] for each in message(Text("abc"), text, made=made)["annotations"]]
    assert [(each["start_index"], each["end_index"]) for each in sources] == [(3, 6), (1, 2)]
    assert made.answer_losses.codes == ("dropped:citations",)


def test_pictures_and_what_has_no_place():
    made = exchange()
    said = message(Media("image", "image/png", data="AA"), Native("anthropic", "server_tool_use", {}), made=made)
    assert said["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    assert made.answer_losses.codes == ("dropped:server_tool_use",)


@pytest.mark.parametrize(
    ("finish", "content", "refusal"),
    [
        (Finish("filter", message="blocked"), None, "blocked"),
        (Finish("other", message="odd end"), "odd end", None),
        (Finish("filter"), "", None),
        (None, "", None),
    ],
)
def test_silence_is_explained(finish, content, refusal):
    said = message(finish=finish)
    assert (said["content"], said["refusal"]) == (content, refusal)


def test_clients_of_legacy_functions_get_a_function_call():
    made = exchange(decoded(functions=[{"name": "f"}]))
    body = told(ToolCall("c", "f", '{"a":1}'), ToolCall("d", "f"), made=made)
    assert body["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert body["choices"][0]["finish_reason"] == "function_call"
    assert made.answer_losses.codes == ("dropped:tool_calls",)


def test_logprobs_of_several_choices():
    tokens = [{"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}]
    answer = ChatAnswer(choices=(Choice((Text("x"),), Finish("stop"), tokens), Choice((Text("y"),), Finish("length"))))
    first, second = read_whole(CODEC.encode_answer(answer, exchange()))["choices"]
    assert first["logprobs"] == {"content": tokens, "refusal": None}
    assert (second["index"], second["logprobs"], second["finish_reason"]) == (1, None, "length")


# --- whole and streamed agree ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        (Text("a"), Text("b")),
        (Reasoning(("a", "b"), SIGNED), Text("x"), Reasoning(("c",), SIGNED), ToolCall("c1", "f", "{}", state=SIGNED)),
        (Text("ab", citations=(Citation("u", "t"),)), Text("c", citations=(Citation("v", "t"),))),
        (ToolCall("c1", "f"), ToolCall("c2", "p", "x", is_custom=True)),
        (Text("no", is_refusal=True), Media("image", "image/png", data="AA")),
    ],
)
def test_whole_and_streamed_answers_agree(parts):
    answer = ChatAnswer("id", "m", 7, (Choice(parts, Finish("stop")),))
    whole = read_whole(CODEC.encode_answer(answer, exchange()))["choices"][0]["message"]
    streamed = hear(list(events_of(answer)), exchange()).message
    for each in (*streamed.get("annotations", []), *streamed.get("images", []), *streamed.get("tool_calls", [])):
        each.pop("index", None)
    streamed.pop("parsed", None)
    assert streamed == {name: value for name, value in whole.items() if value is not None}


def test_own_answers_are_understood_again():
    parts = (Reasoning(("hm",)), Text("x"), ToolCall("c1", "f", '{"a":1}'))
    answer = ChatAnswer("chatcmpl-01TEST", "asked", 7, (Choice(parts, Finish("tool_calls")),), Usage(input_tokens=3))
    assert understood(CODEC.encode_answer(answer, exchange())) == answer
    encoder = CODEC.stream_encoder(exchange())
    decoder, collector = CODEC.stream_decoder(exchange()), Collector()
    for event in events_of(answer):
        collector.take(decoder.feed(encoder.encode(event)))
    collector.take(decoder.finish())
    assert collector.is_complete
    assert without_empty(collector.answer()) == answer
