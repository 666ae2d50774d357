import json

import pytest

from analytics.engine.record import Usage
from routing.engine.format import Asked
from routing.engine.formats.gemini.passthrough import GeminiReader, read_answer
from routing.engine.messages import (
    Began,
    Citation,
    Cited,
    Ended,
    Failed,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    Origin,
    PartMade,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    Text,
    TextDelta,
    TextState,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from tests.routing.engine.formats.gemini.harness import (
    CODEC,
    asked,
    chunk,
    collected,
    decode_stream,
    exchange,
    sse,
)
from tests.routing.engine.formats.recorded import stream

CALL = {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}


def whole(body: object, going=None):
    return CODEC.decode_answer(json.dumps(body).encode(), going or exchange())


def parts_of(*chunks: object, going=None) -> tuple:
    answer, collector = collected(decode_stream(sse(*chunks), going))
    assert collector.is_complete
    return answer.choices[0].parts


def kinds(events: list) -> list[str]:
    return [type(event).__name__ for event in events]


# --- streams ---------------------------------------------------------------------------------------------------------


def test_text_is_told_piece_by_piece():
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    events = decode_stream(sse(chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP", usageMetadata=usage)))
    assert events == [
        Began("r1", "gemini-x"),
        TextDelta("a"),
        UsageReport(Usage(input_tokens=5, output_tokens=2)),
        TextDelta("b"),
        Finished(Finish("stop")),
        Ended(),
    ]


@pytest.mark.parametrize("ending", ["\n\n", "\r\n\r\n", "\r\r"])
def test_every_line_end_and_no_last_one(ending):
    body = ending.join(f"data:{json.dumps(chunk({'text': text}, finish='STOP'))}" for text in "ab").encode()
    assert [event.text for event in decode_stream(body) if isinstance(event, TextDelta)] == ["a", "b"]
    assert isinstance(decode_stream(body)[-1], Ended)


def test_line_separators_within_json_end_nothing():
    body = sse(json.dumps(chunk({"text": "a\u2028b\u0085c"}, finish="STOP"), ensure_ascii=False).encode())
    assert decode_stream(body)[1] == TextDelta("a\u2028b\u0085c")


def test_comments_events_and_done_are_passed_over():
    body = b": ping\r\n\r\nid: 1\r\nevent: x\r\n" + sse(chunk({"text": "a"}, finish="STOP")) + b"data: [DONE]\r\n\r\n"
    assert kinds(decode_stream(body)) == ["Began", "TextDelta", "Finished", "Ended"]


def test_recorded_stream_with_thought_and_call():
    answer, collector = collected(decode_stream(stream("gemini", "thought_call")))
    assert collector.is_complete
    assert answer.choices[0].finish == Finish("tool_calls")
    assert answer.usage == Usage(input_tokens=24, output_tokens=16, cache_read_tokens=8, reasoning_tokens=5)


def test_stop_in_every_chunk_ends_once():
    events = decode_stream(sse(*(chunk({"text": text}, finish="STOP") for text in "abc")))
    assert kinds(events).count("Finished") == 1
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "abc"


def test_call_and_stop_in_different_chunks():
    events = decode_stream(sse(chunk(CALL), chunk({"text": ""}, finish="STOP")))
    assert events[1:] == [
        ToolBegan(0, "c1", "f"),
        ToolDelta(0, '{"a":1}'),
        ToolEnded(0),
        Finished(Finish("tool_calls")),
        Ended(),
    ]


def test_calls_are_counted_and_named_apart():
    nameless = {"functionCall": {"name": "f", "args": {}}}
    same = {"functionCall": {"id": "c1", "name": "f"}}
    calls = parts_of(chunk(nameless, nameless), chunk(same, same, finish="STOP"))
    assert [call.arguments for call in calls] == ["{}"] * 4
    assert len({call.id for call in calls}) == 4
    assert calls[2].id == "c1"


def test_complaint_beside_a_real_call_keeps_the_call():
    answer, _ = collected(decode_stream(sse(chunk(CALL), chunk(finish="MALFORMED_FUNCTION_CALL"))))
    assert answer.choices[0].parts == (ToolCall("c1", "f", '{"a":1}'),)
    assert answer.choices[0].finish == Finish("tool_calls")


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", Finish("stop")),
        ("MAX_TOKENS", Finish("length")),
        ("max_tokens", Finish("length")),
        ("SAFETY", Finish("filter", detail="SAFETY")),
        ("RECITATION", Finish("filter", detail="RECITATION")),
        ("MALFORMED_FUNCTION_CALL", Finish("other", detail="MALFORMED_FUNCTION_CALL")),
        ("BRAND_NEW", Finish("other", detail="BRAND_NEW")),
    ],
)
def test_finish_reasons(word, finish):
    assert collected(decode_stream(sse(chunk({"text": "a"}, finish=word))))[0].choices[0].finish == finish


def test_finish_message_is_kept():
    told = chunk(finish="OTHER")
    told["candidates"][0]["finishMessage"] = "because"
    assert decode_stream(sse(told))[-2] == Finished(Finish("other", message="because", detail="OTHER"))


@pytest.mark.parametrize("word", ["MAX_TOKENS", "SAFETY"])
def test_length_and_filter_count_for_more_than_a_call(word):
    assert collected(decode_stream(sse(chunk(CALL, finish=word))))[0].choices[0].finish.reason != "tool_calls"


def test_blocked_prompt_is_a_filtered_answer():
    events = decode_stream(stream("gemini", "blocked"))
    finished = next(event for event in events if isinstance(event, Finished))
    assert finished.finish.reason == "filter"
    assert finished.finish.detail in finished.finish.message
    assert isinstance(events[-1], Ended)


def test_several_candidates():
    def both(first: str, second: str, finish: str | None = None) -> dict:
        told = chunk({"text": first}, finish=finish)
        told["candidates"] += chunk({"text": second}, finish=finish, index=1)["candidates"]
        return told

    answer, collector = collected(decode_stream(sse(both("a", "x"), both("b", "y", "STOP"))))
    assert [choice.parts for choice in answer.choices] == [(Text("ab"),), (Text("xy"),)]
    assert collector.is_complete


def test_candidates_without_an_index_are_told_by_their_place_and_gaps_are_closed():
    told = {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"} for text in "ab"]}
    assert [event.choice for event in decode_stream(sse(told)) if isinstance(event, Finished)] == [0, 1]
    assert decode_stream(sse(chunk({"text": "a"}, finish="STOP", index=7)))[1] == TextDelta("a", 0)


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_stream_without_its_end_is_not_whole(torn):
    first, second = chunk({"text": "a"}), chunk({"text": "b"}, index=1, finish="STOP")
    body = [sse(first), sse(first, second), sse(first) + sse(chunk({"text": "b"}, finish="STOP"))[:-30]][torn]
    assert not any(isinstance(event, Ended | Finished) for event in decode_stream(body))


@pytest.mark.parametrize("given", ["FINISH_REASON_UNSPECIFIED", "", None])
def test_no_reason_is_no_end(given):
    told = chunk({"text": "a"})
    told["candidates"][0]["finishReason"] = given
    assert not isinstance(decode_stream(sse(told))[-1], Ended)


# --- thoughts and signatures -----------------------------------------------------------------------------------------


def issued(place: str, going=None):
    return (going or exchange()).issued("U0c=", place)


def signed(**part: object) -> dict:
    return {**part, "thoughtSignature": "U0c="}


def test_thoughts_and_signatures_keep_their_places():
    going = exchange(model="gemini-3-flash")
    parts = parts_of(
        chunk({"text": "pon", "thought": True}),
        chunk({"text": "der", "thought": True}, signed(text="", thought=True)),
        chunk({"text": "so"}, {"text": "", "thoughtSignature": "U0c="}),
        chunk({"text": "next"}, signed(**CALL), finish="STOP"),
        going=going,
    )
    assert parts == (
        Reasoning(("ponder",), issued("", going)),
        Text("so", state=issued("text", going)),
        Text("next"),
        ToolCall("c1", "f", '{"a":1}', state=issued("call", going)),
    )
    assert parts[0].state.origin == Origin("gemini", "gemini", "chn_1", "gemini-3")


def test_signature_on_an_empty_text_after_a_thought_is_the_thoughts():
    events = decode_stream(sse(chunk({"text": "hm", "thought": True}), chunk(signed(text=""), finish="STOP")))
    assert kinds(events)[1:3] == ["ReasoningDelta", "ReasoningState"]


def test_signature_on_nothing_is_not_lost():
    assert kinds(decode_stream(sse(chunk(signed(text=""), finish="STOP"))))[1] == "ReasoningState"


def test_signature_on_text_ends_it():
    events = decode_stream(sse(chunk(signed(text="a")), chunk({"text": "b"}, finish="STOP")))
    assert kinds(events)[1:5] == ["TextDelta", "TextState", "PartEnded", "TextDelta"]


# --- other parts -----------------------------------------------------------------------------------------------------


def test_pictures_and_steps_of_hosted_tools_are_whole_parts():
    picture = {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    sketch = {**picture, "thought": True}
    assert parts_of(chunk({"text": "a"}, sketch, code), chunk(picture, finish="STOP")) == (
        Text("a"),
        Native("gemini", "executableCode", code),
        Media("image", "image/png", data="aaaa"),
    )


def test_arguments_that_come_in_pieces_are_collected():
    def piece(path: str, more: bool = True, **value: object) -> dict:
        return {"functionCall": {"partialArgs": [{"jsonPath": path, **value}], "willContinue": more}}

    events = decode_stream(
        sse(
            chunk({"functionCall": {"name": "f", "id": "c1", "willContinue": True}}),
            chunk(piece("$.city", stringValue="New ")),
            chunk(piece("$.city", stringValue="York")),
            chunk(piece("$.days[1].n", numberValue=2)),
            chunk(piece("$['is it']", boolValue=False), piece("$.none", nullValue="NULL_VALUE")),
            chunk({"functionCall": {}}),
            chunk({"text": "after"}, finish="STOP"),
        )
    )
    assert kinds(events)[1:5] == ["ToolBegan", "ToolDelta", "ToolEnded", "TextDelta"]
    assert json.loads(events[2].text) == {
        "city": "New York", "days": [None, {"n": 2}], "is it": False, "none": None,
    }  # fmt: skip


def test_arguments_in_pieces_that_make_no_sense_are_left_out():
    pieces = [
        "x",
        {},
        {"jsonPath": "$"},
        {"jsonPath": "$[0]", "stringValue": "a"},
        {"jsonPath": "$.a[999999].b"},
        {"jsonPath": "$" + ".a" * 5000, "numberValue": 1},
        {"jsonPath": "$.b", "numberValue": 1},
        {"jsonPath": "$.b.c", "numberValue": 2},
    ]
    call = {"functionCall": {"name": "f", "partialArgs": pieces}}
    assert json.loads(parts_of(chunk(call, finish="STOP"))[0].arguments)["b"] == {"c": 2}


def test_grounding_is_cited_in_characters():
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}, {"odd": 1}],
        "groundingSupports": [
            {"segment": {"startIndex": 2, "endIndex": 7, "text": "ße!"}, "groundingChunkIndices": [0, 9, "x"]},
            {"segment": {"endIndex": 999}, "groundingChunkIndices": [0]},
        ],
        "webSearchQueries": ["q"],
    }
    last = chunk({"text": "e! 🙂"}, finish="STOP")
    last["candidates"][0]["groundingMetadata"] = grounding
    again = chunk({"text": ""})
    again["candidates"][0]["groundingMetadata"] = grounding
    events = decode_stream(sse(chunk({"text": "Grüß"}), last, again))
    cited = [event.citation for event in events if isinstance(event, Cited)]
    assert [(each.url, each.title, each.start, each.end, each.quote) for each in cited] == [
        ("https://a", "A", 2, 5, "ße!"),
        ("https://a", "A", 0, 8, ""),
        ("https://b", "", None, None, ""),
    ]


def test_grounding_of_a_whole_answer_counts_within_its_part():
    answer = whole(
        {
            "candidates": [
                {
                    "content": {"parts": [{"text": "hm", "thought": True}, {"text": "äö"}, {"text": "cd"}]},
                    "finishReason": "STOP",
                    "groundingMetadata": {
                        "groundingChunks": [{"web": {"uri": "u"}}],
                        "groundingSupports": [
                            {"segment": {"partIndex": 2, "endIndex": 1}, "groundingChunkIndices": [0]}
                        ],
                    },
                    "citationMetadata": {"citations": [{"uri": "w", "startIndex": 2, "endIndex": 4}]},
                }
            ]
        }
    )
    text = answer.choices[0].parts[1]
    assert text.text == "äöcd"
    assert [(each.url, each.start, each.end) for each in text.citations] == [("u", 2, 3), ("w", 1, 2)]


def test_log_probabilities_take_the_common_shape():
    told = chunk({"text": "ä"}, finish="STOP")
    told["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "ä", "logProbability": -0.5}, {"token": None}, 5],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1}]}],
    }
    events = decode_stream(sse(told))
    other = {"token": "b", "logprob": -1, "bytes": [98]}
    token = {"token": "ä", "logprob": -0.5, "bytes": [195, 164], "top_logprobs": [other]}
    assert LogprobsDelta([token]) in events


def test_own_clients_get_what_only_this_format_says():
    told = chunk({"text": "a"}, finish="STOP")
    told["candidates"][0] |= {"safetyRatings": [{"category": "X"}], "avgLogprobs": -1.0}
    events = decode_stream(sse(told), exchange(asked("gemini")))
    assert events[-3] == PartMade(
        Native("gemini", "candidate", {"safetyRatings": [{"category": "X"}], "avgLogprobs": -1.0})
    )
    assert "PartMade" not in kinds(decode_stream(sse(told)))


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"promptTokenCount": 10, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 5, "thoughtsTokenCount": 7,
             "cachedContentTokenCount": 4, "totalTokenCount": 24},
            Usage(input_tokens=12, output_tokens=12, cache_read_tokens=4, reasoning_tokens=7),
        ),
        ({"prompt_token_count": 3, "candidates_token_count": 2}, Usage(input_tokens=3, output_tokens=2)),
        ({"promptTokenCount": 3, "totalTokenCount": 9, "thoughtsTokenCount": 1},
         Usage(input_tokens=3, output_tokens=6, reasoning_tokens=1)),
        ({"promptTokenCount": 3, "cachedContentTokenCount": 9}, Usage(input_tokens=9, cache_read_tokens=9)),
        ({"promptTokenCount": None, "candidatesTokenCount": -3, "thoughtsTokenCount": "x"}, Usage()),
    ],
)  # fmt: skip
def test_usage(counts, usage):
    events = decode_stream(sse(chunk({"text": "a"}, finish="STOP", usageMetadata=counts)))
    assert [event.usage for event in events if isinstance(event, UsageReport)] == [usage]


GROUNDED = {"webSearchQueries": ["a", "b", "a b"]}
SPENT = {"promptTokenCount": 3, "candidatesTokenCount": 2}


@pytest.mark.parametrize(
    ("model", "metadata", "searches"),
    [
        ("gemini-3-pro-preview", GROUNDED, 3),
        ("gemini-2.5-flash", GROUNDED, 1),
        ("gemini-flash-latest", GROUNDED, 3),
        ("gemini-2.5-flash", {"groundingChunks": []}, 0),
        ("gemini-3.5-flash", {"webSearchQueries": "a"}, 0),
        ("gemini-3.5-flash", "searched", 0),
    ],
)
def test_searches_are_counted_as_they_are_charged(model, metadata, searches):
    """Each query since the third generation, once a prompt before."""
    told = chunk({"text": "a"}, finish="STOP", usageMetadata=SPENT, modelVersion=model)
    told["candidates"][0]["groundingMetadata"] = metadata
    assert whole(told).usage.web_searches == searches
    assert read_answer(json.dumps(told).encode()).usage.web_searches == searches
    reader = GeminiReader(Asked(model))
    reader.read(b"", json.dumps(told).encode())
    assert reader.usage.web_searches == searches


def test_searches_told_after_the_usage_are_counted_too():
    late = chunk(finish="STOP", modelVersion="gemini-3-pro")
    late["candidates"][0]["groundingMetadata"] = GROUNDED
    told = [chunk({"text": "a"}, usageMetadata=SPENT, modelVersion="gemini-3-pro"), late]
    reports = [event.usage for event in decode_stream(sse(*told)) if isinstance(event, UsageReport)]
    assert [usage.web_searches for usage in reports] == [0, 3]
    reader = GeminiReader(Asked("gemini-3-pro"))
    for each in told:
        reader.read(b"", json.dumps(each).encode())
    assert reader.usage.web_searches == 3 and reader.usage.output_tokens == 2


def test_cached_input_beside_the_input_is_added():
    going = exchange(input_includes_cache=False)
    counts = {"promptTokenCount": 5, "cachedContentTokenCount": 20}
    assert whole(chunk({"text": "a"}, finish="STOP", usageMetadata=counts), going).usage.input_tokens == 25


# --- whole answers ---------------------------------------------------------------------------------------------------


def test_whole_answer():
    answer = whole(chunk({"text": "hm", "thought": True}, {"text": "a"}, CALL, finish="STOP"))
    assert (answer.id, answer.model) == ("r1", "gemini-x")
    assert answer.choices[0].parts == (Reasoning(("hm",)), Text("a"), ToolCall("c1", "f", '{"a":1}'))
    assert answer.choices[0].finish == Finish("tool_calls")


def test_whole_answer_in_snake_case():
    body = {
        "candidates": [{"content": {"parts": [{"function_call": {"name": "f"}}]}, "finish_reason": "STOP"}],
        "model_version": "g",
        "usage_metadata": {"prompt_token_count": 1},
    }
    answer = whole(body)
    assert (answer.model, answer.usage, answer.choices[0].parts[0].name) == ("g", Usage(input_tokens=1), "f")


def test_whole_answer_needs_no_reason_to_be_whole():
    assert whole(chunk({"text": "a"})).choices[0].finish == Finish("stop")


def test_blocked_answer_has_one_choice_without_content():
    answer = whole({"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "no"}})
    assert answer.choices[0].finish == Finish("filter", message="no", detail="OTHER")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{", b"[]", b"{}", b"null", b"5", b'{"candidates":[]}', b'{"candidates":null}',
        b'{"usageMetadata":{"promptTokenCount":1}}', b'{"error":{"message":"no"}}', b'[{"error":{"message":"no"}}]',
        b'{"error":"no"}', b"\xff\xfe", b"[" * 100_000, b'{"candidates":[{"content":{"parts":[{"text":"\\u"}]}}]}',
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(body):
    with pytest.raises(ValueError):
        CODEC.decode_answer(body, exchange())


ODD = [
    {"candidates": [5, None, "x", {"content": 5}, {"content": {"parts": 5}}, {"content": {"parts": [5, None, {}]}}]},
    {"candidates": {"a": 1}, "usageMetadata": [], "promptFeedback": 5, "modelVersion": 5, "responseId": {}},
    chunk({"text": None}, {"text": 5}, {"functionCall": 5}, {"functionCall": {"name": 5}}, {"functionCall": {}}),
    chunk({"inlineData": 5}, {"inlineData": {"data": 5}}, {"fileData": {}}, {"thought": True}, {"thoughtSignature": 5}),
    chunk({"functionCall": {"name": "f", "args": [1]}}, {"functionCall": {"name": "f", "args": "{}"}}),
    {
        "candidates": [
            {"index": "x", "finishReason": 5, "finishMessage": 5, "logprobsResult": 5, "groundingMetadata": 5}
        ]
    },
    {"candidates": [{"groundingMetadata": {"groundingChunks": 5, "groundingSupports": [5, {"segment": 5}]}}]},
    {"candidates": [{"citationMetadata": {"citations": [5, {"uri": 5}]}, "logprobsResult": {"topCandidates": 5}}]},
    [[], 5, None],
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_chunks_break_nothing(odd):
    answer, collector = collected(decode_stream(sse(odd, chunk({"text": "a"}, finish="STOP"))))
    assert collector.failure is None
    assert any(isinstance(part, Text) and part.text == "a" for choice in answer.choices for part in choice.parts)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["error", "error_list"])
def test_recorded_error_ends_the_stream(case):
    events = decode_stream(stream("gemini", case))
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Ended) for event in events)


def test_nothing_is_told_after_an_error():
    error = {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}
    events = decode_stream(sse(chunk({"text": "a"}), error, chunk({"text": "b"}, finish="STOP")))
    assert events[-1] == Failed("m", 503, "UNAVAILABLE")
    assert decode_stream(sse({"error": {"message": "m", "status": "RESOURCE_EXHAUSTED"}}))[-1].status == 429


def test_chunk_that_is_no_json_fails_the_stream():
    assert isinstance(
        decode_stream(sse(chunk({"text": "a"}), b"{torn", chunk({"text": "b"}, finish="STOP")))[-1], Failed
    )


@pytest.mark.parametrize("shape", ["object", "array", "growing array"])
def test_json_where_a_stream_was_promised_is_read_as_what_it_is(shape):
    chunks = [chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")]
    body = {
        "object": json.dumps(chunk({"text": "ab"}, finish="STOP")),
        "array": json.dumps(chunks, indent=1),
        "growing array": "[" + "\n,\r\n".join(map(json.dumps, chunks)) + "\n]\n",
    }[shape].encode()
    answer, collector = collected(decode_stream(body))
    assert (answer.choices[0].parts, collector.is_complete) == ((Text("ab"),), True)
    assert isinstance(decode_stream(b'{"error": {"code": 400, "message": "m"}}')[-1], Failed)


@pytest.mark.parametrize(
    ("body", "message", "code", "retry_after_s"),
    [
        (
            {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "21.5s"}, 5]}},
            "slow", "RESOURCE_EXHAUSTED", 21.5,
        ),
        ([{"error": {"message": "m", "details": [{"retryDelay": {"seconds": 3}}]}}], "m", "", 3.0),
        ({"error": {"message": "Please retry in 500ms."}}, "Please retry in 500ms.", "", 0.5),
        (
            {"error": {"status": "INVALID_ARGUMENT", "message":
                "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576)."}},
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            "context_length_exceeded", None,
        ),
        ({"error": "plain"}, "plain", "", None),
        ({"error": {"message": 5}}, "", "", None),
        ({}, "", "", None),
        ([], "", "", None),
        (5, "", "", None),
    ],
)  # fmt: skip
def test_error_answers(body, message, code, retry_after_s):
    said = CODEC.decode_error(json.dumps(body).encode(), {})
    assert (said.message, said.code, said.retry_after_s) == (message, code, retry_after_s)


@pytest.mark.parametrize("body", [b"", b'{"error":{"message":"no","details":[{"retryDelay":"9s"}]}}'])
def test_a_header_says_how_long_to_wait(body):
    assert CODEC.decode_error(body, {b"retry-after": b"4"}).retry_after_s == 4


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff", b"[" * 100_000])
def test_unreadable_error_answers_say_nothing(body):
    assert CODEC.decode_error(body, {}).message == ""


# --- halves ----------------------------------------------------------------------------------------------------------


def halves(*texts: str, **part: object) -> bytes:
    """Return chunks whose texts are written as they are, escapes included."""
    chunks = [json.dumps(chunk({"text": "TEXT", **part}, finish="STOP")).replace("TEXT", text) for text in texts]
    return sse(*(each.encode() for each in chunks))


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["a\\ud83d", "\\ude42b"], "a🙂b"),
        (["\\ud83d", "\\ude42"], "🙂"),
        (["a\\ud83d", "b"], "a\ufffdb"),
        (["a\\ud83d"], "a\ufffd"),
        (["\\ude42a"], "\ufffda"),
        (["\\ud83d", "\\ud83d", "\\ude42"], "\ufffd🙂"),
    ],
)
@pytest.mark.parametrize("thought", [False, True])
def test_halves_of_a_pair_are_joined(texts, joined, thought):
    kind = ReasoningDelta if thought else TextDelta
    events = decode_stream(halves(*texts, **({"thought": True} if thought else {})))
    told = [event.text for event in events if isinstance(event, kind)]
    assert "".join(told) == joined
    assert "".join(told).encode()
    assert isinstance(events[-1], Ended)


def test_half_before_another_kind_of_part_is_given_up():
    body = halves("a\\ud83d") + sse(chunk(CALL, finish="STOP"))
    answer, _ = collected(decode_stream(body))
    assert answer.choices[0].parts[0] == Text("a\ufffd")


def test_citation_values_are_kept_for_the_way_back():
    told = chunk({"text": "a"}, finish="STOP")
    source = {"retrievedContext": {"uri": "gs://x", "title": "T", "text": "t"}}
    told["candidates"][0]["groundingMetadata"] = {"groundingChunks": [source]}
    cited = [event.citation for event in decode_stream(sse(told)) if isinstance(event, Cited)]
    assert cited == [Citation("gs://x", "T", native=source, format="gemini")]


def test_state_events_carry_their_origin():
    events = decode_stream(sse(chunk(signed(text="a"), signed(text="t", thought=True), finish="STOP")))
    states = [event.state for event in events if isinstance(event, TextState | ReasoningState)]
    assert [(state.blob, state.origin.family, state.place) for state in states] == [
        ("U0c=", "gemini-2.5", "text"),
        ("U0c=", "gemini-2.5", ""),
    ]
