import base64
import json
import warnings

import pytest
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from analytics.engine.record import Usage
from routing.engine.answers import events_of
from routing.engine.errors import BadRequest, Overloaded, UpstreamFailed
from routing.engine.messages import (
    Began,
    ChatAnswer,
    Choice,
    Citation,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    Opaque,
    Origin,
    Reasoning,
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
from routing.engine.provenance import unwrap_bytes, wrap_bytes
from tests.routing.engine.formats.gemini.harness import (
    CODEC,
    CUTS,
    asked,
    chunks_of,
    decoded,
    encode_stream,
    exchange,
    sdk,
)

USAGE = Usage(input_tokens=9, output_tokens=12, cache_read_tokens=3, reasoning_tokens=4)
THEIRS = Opaque("QW50aHJvcGljU2ln", Origin("anthropic", "anthropic", "chn_1", "claude"))


def going(fmt: str = "other"):
    return exchange(asked("gemini", model="asked-model"), fmt=fmt)


STOP = Finish("stop")


def whole(*parts: object, finish: Finish | None = STOP, usage: Usage | None = USAGE, fmt: str = "other"):
    """Return an answer as Google's SDK reads it, and its JSON."""
    body = CODEC.encode_answer(ChatAnswer(choices=(Choice(tuple(parts), finish),), usage=usage), going(fmt))
    told = sdk(body, media_type="application/json").models.generate_content(model="m", contents="x")
    return told, json.loads(body)


def parts(body: dict) -> list[dict]:
    return body["candidates"][0]["content"]["parts"]


def streamed(events: list, size: int = 4096) -> list[genai_types.GenerateContentResponse]:
    return list(sdk(encode_stream(events, going()), size).models.generate_content_stream(model="m", contents="x"))


# --- whole answers ---------------------------------------------------------------------------------------------------


def test_whole_answer():
    told, body = whole(
        Reasoning(("a", "b")), Text("ok"), ToolCall("c1", "f", '{"a":[1,2]}'), finish=Finish("tool_calls")
    )
    assert parts(body) == [
        {"text": "a\n\nb", "thought": True},
        {"text": "ok"},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": [1, 2]}}},
    ]
    assert (body["modelVersion"], body["responseId"], body["candidates"][0]["index"]) == ("asked-model", "req_1", 0)
    assert body["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 8,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 3,
        "totalTokenCount": 21,
    }
    assert told.candidates[0].finish_reason == genai_types.FinishReason.STOP
    assert told.function_calls[0].args == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("finish", "word", "message"),
    [
        (Finish("stop"), "STOP", None),
        (Finish("stop_sequence", "q"), "STOP", None),
        (Finish("tool_calls"), "STOP", None),
        (Finish("length"), "MAX_TOKENS", None),
        (Finish("filter"), "SAFETY", None),
        (Finish("filter", message="no", detail="RECITATION"), "RECITATION", "no"),
        (Finish("filter", detail="content_filter"), "SAFETY", None),
        (Finish("pause"), "STOP", None),
        (Finish("other", message="because", detail="odd"), "STOP", "because"),
        (None, "STOP", None),
    ],
)
def test_finish_reasons(finish, word, message):
    candidate = whole(Text("a"), finish=finish)[1]["candidates"][0]
    assert (candidate["finishReason"], candidate.get("finishMessage")) == (word, message)


def test_odd_end_of_the_same_format_keeps_its_word():
    _, body = whole(Text("a"), finish=Finish("other", detail="MALFORMED_FUNCTION_CALL"), fmt="gemini")
    assert body["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"


def test_odd_end_without_content_says_why():
    told, _ = whole(finish=Finish("other", message="because"))
    assert told.text == "because"


def test_refusal_is_text_of_a_filtered_answer():
    told, body = whole(Text("I cannot.", is_refusal=True))
    assert told.text == "I cannot."
    assert told.candidates[0].finish_reason == genai_types.FinishReason.SAFETY
    assert body["candidates"][0]["finishMessage"] == "I cannot."


def test_answer_without_content_still_has_a_part():
    told, body = whole(finish=Finish("filter"), usage=None)
    assert (parts(body), told.text) == ([{"text": ""}], "")
    assert "usageMetadata" not in body


def test_torn_arguments_are_told_as_far_as_they_go():
    exchanging = going()
    answer = ChatAnswer(choices=(Choice((ToolCall("c", "f", '{"a":"b'), ToolCall("d", "g", "")), Finish("length")),))
    body = json.loads(CODEC.encode_answer(answer, exchanging))
    assert [part["functionCall"]["args"] for part in parts(body)] == [{"a": "b"}, {}]
    assert list(exchanging.answer_losses) == ["emulated:tool_arguments"]


def test_pictures_and_own_parts():
    code = {"executableCode": {"code": "1"}}
    own = {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT"}]}
    exchanging = going()
    made = (
        Media("image", "image/png", data="aaaa"),
        Native("gemini", "executableCode", code),
        Native("gemini", "candidate", own),
        Native("anthropic", "server_tool_use", {}),
    )
    body = json.loads(CODEC.encode_answer(ChatAnswer(choices=(Choice(made, Finish("stop")),)), exchanging))
    assert parts(body) == [{"inlineData": {"mimeType": "image/png", "data": "aaaa"}}, code]
    assert body["candidates"][0]["safetyRatings"] == own["safetyRatings"]
    assert list(exchanging.answer_losses) == ["dropped:server_tool_use"]


def test_several_answers():
    answer = ChatAnswer(choices=(Choice((Text("a"),), Finish("stop")), Choice((Text("b"),), Finish("length"))))
    body = json.loads(CODEC.encode_answer(answer, going()))
    assert [(each["index"], each["finishReason"]) for each in body["candidates"]] == [(0, "STOP"), (1, "MAX_TOKENS")]


# --- citations and log probabilities ---------------------------------------------------------------------------------


def cited(*citations: Citation, text: str = "Grüße, 世界") -> tuple:
    return (Reasoning(("hm",)), Text(text, citations=citations), Text("!"))


def test_citations_are_grounding_in_bytes():
    source = {"retrievedContext": {"uri": "gs://x", "title": "T"}}
    told, body = whole(
        *cited(
            Citation("https://a", "A", 0, 5, "Grüße"),
            Citation("https://a", "A", 7, 9),
            Citation("https://b", "", 7, 9),
            Citation("https://a", "A", 9, 10),
            Citation("gs://x", "T", native=source, format="gemini"),
        )
    )
    grounding = body["candidates"][0]["groundingMetadata"]
    assert grounding["groundingChunks"] == [
        {"web": {"uri": "https://a", "title": "A"}},
        {"web": {"uri": "https://b", "title": "https://b"}},
        source,
    ]
    assert grounding["groundingSupports"] == [
        {
            "segment": {"startIndex": 0, "endIndex": 7, "partIndex": 1, "text": "Grüße"},
            "groundingChunkIndices": [0],
        },
        {"segment": {"startIndex": 9, "endIndex": 15, "partIndex": 1}, "groundingChunkIndices": [0, 1]},
        {"segment": {"startIndex": 0, "endIndex": 1, "partIndex": 2}, "groundingChunkIndices": [0]},
    ]
    assert told.candidates[0].grounding_metadata.grounding_chunks[0].web.uri == "https://a"


def test_log_probabilities():
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    answer = ChatAnswer(choices=(Choice((Text("a"),), Finish("stop"), [token]),))
    told = json.loads(CODEC.encode_answer(answer, going()))["candidates"][0]["logprobsResult"]
    assert told == {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1.0}]}],
    }
    chunk = chunks_of(encode_stream([Began(), LogprobsDelta([token]), Finished(Finish("stop")), Ended()]))[0]
    assert chunk["candidates"][0]["logprobsResult"] == told
    assert chunk["candidates"][0]["content"]["parts"] == [{"text": ""}]


# --- streams ---------------------------------------------------------------------------------------------------------

STREAM = [
    Began("up_1", "up-model", 5),
    UsageReport(Usage(input_tokens=9)),
    ReasoningDelta("hm"),
    ReasoningDelta("more", part=1),
    TextDelta("o"),
    TextDelta("k"),
    ToolBegan(0, "c1", "f"),
    ToolDelta(0, '{"path":'),
    ToolDelta(0, '"a"}'),
    ToolEnded(0),
    Finished(Finish("tool_calls")),
    UsageReport(USAGE),
    Ended(),
]


@pytest.mark.parametrize("size", CUTS)
def test_stream_as_the_sdk_reads_it(size):
    chunks = streamed(STREAM, size)
    assert [chunk.text for chunk in chunks[2:4]] == ["o", "k"]
    assert [chunk.candidates[0].content.parts[0].text for chunk in chunks[:2]] == ["hm", "\n\nmore"]
    assert chunks[4].function_calls[0].args == {"path": "a"}
    assert [chunk.candidates[0].finish_reason for chunk in chunks] == [None] * 5 + [genai_types.FinishReason.STOP]
    assert chunks[-1].usage_metadata.total_token_count == 21
    assert {chunk.model_version for chunk in chunks} == {"asked-model"}
    assert {chunk.response_id for chunk in chunks} == {"req_1"}


def test_text_is_told_one_to_one_with_nothing_else_in_the_stream():
    body = encode_stream(STREAM, going())
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in chunks_of(body)][2:4] == [
        [{"text": "o"}],
        [{"text": "k"}],
    ]
    assert b"[DONE]" not in body
    assert b"event:" not in body


def test_chat_of_the_sdk_keeps_the_turn():
    chat = sdk(encode_stream(STREAM, going())).chats.create(model="m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(chat.send_message_stream("x"))
    history = chat.get_history(curated=True)
    assert [content.role for content in history][:2] == ["user", "model"]
    body = {"contents": [content.model_dump(mode="json", exclude_none=True, by_alias=True) for content in history]}
    turn = [part for message in decoded(body).messages[1:] for part in message.parts]
    assert [type(part).__name__ for part in turn] == ["Reasoning", "Reasoning", "Text", "Text", "ToolCall"]


def test_usage_waits_for_the_end():
    chunks = chunks_of(encode_stream(STREAM))
    assert ["usageMetadata" in chunk for chunk in chunks] == [False] * 5 + [True]


def test_calls_are_told_in_order_and_whole():
    events = [
        ToolBegan(0, "a", "f"),
        ToolBegan(1, "b", "g"),
        ToolDelta(1, "{}"),
        ToolDelta(0, '{"x":'),
        ToolEnded(1),
        ToolDelta(0, "1}"),
        TextDelta("between"),
        Finished(Finish("tool_calls")),
        Ended(),
    ]
    told = [part for chunk in chunks_of(encode_stream(events)) for part in parts(chunk)]
    assert told == [
        {"text": "between"},
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
        {"text": ""},
    ]


def test_several_streamed_answers_end_together():
    events = [TextDelta("a"), TextDelta("b", 1), Finished(Finish("stop")), Finished(Finish("length"), 1), Ended()]
    *texts, last = chunks_of(encode_stream(events))
    assert [(chunk["candidates"][0]["index"], parts(chunk)[0]["text"]) for chunk in texts] == [(0, "a"), (1, "b")]
    assert [candidate["finishReason"] for candidate in last["candidates"]] == ["STOP", "MAX_TOKENS"]


@pytest.mark.parametrize("before", [[], [TextDelta("a")]])
def test_error_in_a_stream_raises(before):
    encoder = CODEC.stream_encoder(going())
    body = b"".join(map(encoder.encode, before)) + encoder.fail(UpstreamFailed("It broke."), "req_1")
    with pytest.raises(genai_errors.ServerError, match="It broke"):
        list(sdk(body).models.generate_content_stream(model="m", contents="x"))


@pytest.mark.parametrize("error", [None, BadRequest("No."), Overloaded("Later.")])
@pytest.mark.parametrize("events", [[], STREAM[:-1]])
def test_array_for_a_client_that_reads_no_events(events, error):
    exchanging = going()
    exchanging.wants_sse = False
    encoder = CODEC.stream_encoder(exchanging)
    body = b"".join(map(encoder.encode, events))
    body += encoder.fail(error, "req_1") if error else encoder.encode(Ended())
    chunks = json.loads(body)
    assert body.startswith(b"[")
    if error:
        assert chunks[-1]["error"]["message"] == error.message
    elif events:
        assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
        assert [part for chunk in chunks[:-1] for part in parts(chunk)] == [
            part for chunk in chunks_of(encode_stream(STREAM))[:-1] for part in parts(chunk)
        ]


# --- signatures ------------------------------------------------------------------------------------------------------

OWN = Opaque("U0c=", Origin("gemini", "vertex", "chn_1", "gemini-3"), "call")
SIGNED = {
    "thought": ((Reasoning(("hm",), THEIRS), Text("a")), 0),
    "hidden thought before text": ((Reasoning((), THEIRS), Text("a")), 0),
    "hidden thought before a call": ((Reasoning((), THEIRS), ToolCall("c", "f", "{}")), 0),
    "redacted thought": ((Reasoning((), THEIRS, is_redacted=True), ToolCall("c", "f", "{}")), 0),
    "hidden thought at the end": ((Text("a"), Reasoning((), THEIRS)), 1),
    "call": ((Text("a"), ToolCall("c", "f", "{}", state=OWN)), 1),
    "text": ((Text("a", state=Opaque("U0c=", OWN.origin, "text")),), 0),
}


def told_again(body: bytes, *, is_stream: bool) -> tuple:
    """Return the parts of the next request's history, of a client that sends back all that it got."""
    if is_stream:
        content = {"role": "model", "parts": [part for chunk in chunks_of(body) for part in parts(chunk)]}
    else:
        told = sdk(body, media_type="application/json").models.generate_content(model="m", contents="x")
        content = json.loads(told.candidates[0].content.model_dump_json(by_alias=True, exclude_none=True))
    return decoded({"contents": [content]}).messages[0].parts


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("is_stream", [False, True])
def test_artefacts_come_back_as_they_went(name, is_stream):
    made, place = SIGNED[name]
    answer = ChatAnswer(choices=(Choice(made, Finish("stop")),))
    body = encode_stream(events_of(answer)) if is_stream else CODEC.encode_answer(answer, going())
    again = told_again(body, is_stream=is_stream)
    assert again[place] == made[place]
    assert len(again) == len(made)


def test_an_empty_thought_part_is_never_told():
    answer = ChatAnswer(choices=(Choice((Reasoning((), THEIRS), Text("a"), Text("b")), Finish("stop")),))
    for body in (CODEC.encode_answer(answer, going()), encode_stream(events_of(answer))):
        assert b'"thought":' not in body
    first = chunks_of(encode_stream(events_of(answer)))[0]
    assert unwrap_bytes(parts(first)[0]["thoughtSignature"]) == THEIRS


def test_raw_signatures_stay_as_they_are():
    assert wrap_bytes(Opaque("U0c=")) == "U0c="
    _, body = whole(ToolCall("c", "f", "{}", state=Opaque("U0c=")))
    assert parts(body)[0]["thoughtSignature"] == "U0c="


def test_state_that_comes_after_its_thought_closes_it():
    events = [ReasoningDelta("hm"), ReasoningState(THEIRS), TextDelta("a"), Finished(Finish("stop")), Ended()]
    first, second, third, _ = chunks_of(encode_stream(events))
    assert parts(first) == [{"text": "hm", "thought": True}]
    assert base64.b64decode(parts(second)[0]["thoughtSignature"]).startswith(b"rtx1:anthropic:")
    assert parts(third) == [{"text": "a"}]
