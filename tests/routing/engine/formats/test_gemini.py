import json

import pytest

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError, UpstreamFailed
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, run, stream

GEMINI = FORMATS["gemini"]


def event(data: object) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\r\n\r\n"


def text(value: str, finish: str | None = None, index: int = 0) -> bytes:
    candidate = {"content": {"parts": [{"text": value}]}, "index": index, "finishReason": finish}
    return event({"candidates": [candidate]})


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini:generateContent", "gemini-2.5-pro"),
        ("/v1/models/gemini-2.5-pro:streamGenerateContent", "gemini:streamGenerateContent", "gemini-2.5-pro"),
        ("/v1beta/models/google/gemma:7b:countTokens", "gemini:countTokens", "google/gemma:7b"),
        ("/v1beta/models/m%3AembedContent", "gemini:embedContent", "m"),
        ("/v1beta/models/a%2Fb:batchEmbedContents", "gemini:batchEmbedContents", "a/b"),
        ("/v1beta/models/models/m:generateContent", "gemini:generateContent", "models/m"),
        ("/v1/tunedModels/mine:generateContent", "gemini:generateContent", "tunedModels/mine"),
    ],
)
def test_path_names_model_and_method(path, operation, model):
    assert GEMINI.route(path) == Route(operation, model)


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models",
        "/v1beta/models/gemini-2.5-pro",
        "/v1beta/models/:generateContent",
        "/v1beta/models/m:predict",
        "/v1beta/other/m:generateContent",
        "/v2/models/m:generateContent",
        "/v1/models/",
        "/v1/chat/completions",
    ],
)
def test_other_paths_are_not_geminis(path):
    assert GEMINI.route(path) is None


def test_listing_is_geminis_for_googles_clients():
    assert GEMINI.speaks({b"x-goog-api-key": b"k"}, "/v1/models")
    assert GEMINI.speaks({b"x-goog-api-client": b"genai"}, "/v1/models")
    assert GEMINI.speaks({}, "/v1beta/models")
    assert not GEMINI.speaks({b"authorization": b"Bearer k"}, "/v1/models")


def ask(method: str, query: dict | None = None, **body):
    raw = json.dumps(body, separators=(",", ":")).encode()
    return raw, GEMINI.read_request(Route(f"gemini:{method}", "m"), query or {}, raw)


def test_request_facts():
    assert not ask("generateContent", contents=[])[1].is_stream
    asked = ask("streamGenerateContent", {"alt": "sse"}, contents=[])[1]
    assert (asked.model, asked.is_stream, asked.wants_sse) == ("m", True, True)
    assert GEMINI.stream_type(asked) == b"text/event-stream; charset=utf-8"
    asked = ask("streamGenerateContent", {"key": "k"}, contents=[])[1]
    assert (asked.is_stream, asked.wants_sse) == (True, False)
    assert GEMINI.stream_type(asked) == b"application/json; charset=utf-8"


def test_body_without_the_model_is_the_same_object():
    raw, asked = ask("generateContent", contents=[{"parts": [{"text": '"model":"models/m"'}]}])
    assert GEMINI.write_request(raw, asked, "other") is raw


def test_body_that_repeats_the_model_agrees_with_the_path():
    raw, asked = ask("embedContent", model="models/m", content={"parts": []})
    assert GEMINI.write_request(raw, asked, "m") is raw
    assert GEMINI.write_request(raw, asked, "x") == raw.replace(b"models/m", b"models/x")
    for resource in ("tunedModels/t", "models/t"):
        assert json.loads(GEMINI.write_request(raw, asked, resource))["model"] == resource


def test_batch_names_the_model_in_each_request():
    requests = [
        {"model": "models/m", "content": {"parts": [{"text": '"model":"models/m"', "model": "kept"}]}},
        {"content": {}, "taskType": "X", "model": "models/m"},
        {"content": {}},
    ]
    raw, asked = ask("batchEmbedContents", requests=requests, other=[1.0])
    requests[0]["model"] = requests[1]["model"] = "models/x/y"
    expected = json.dumps({"requests": requests, "other": [1.0]}, separators=(",", ":")).encode()
    assert GEMINI.write_request(raw, asked, "x/y") == expected


@pytest.mark.parametrize("requests", [5, {}, [1, "a"], None])
def test_odd_batches_are_left_for_the_upstream_to_judge(requests):
    raw, asked = ask("batchEmbedContents", requests=requests)
    assert json.loads(GEMINI.write_request(raw, asked, "x")) == {"requests": requests}


@pytest.mark.parametrize(
    ("case", "usage"),
    [
        ("text", Usage(input_tokens=20, output_tokens=7)),
        ("thought_call", Usage(input_tokens=24, output_tokens=16, cache_read_tokens=8, reasoning_tokens=5)),
        ("blocked", Usage(input_tokens=9)),
    ],
)
def test_usage_and_model_of_recorded_streams(case, usage):
    reading = reader("gemini")
    run(reading, stream("gemini", case))
    assert (reading.usage, reading.model) == (usage, "gemini-2.5-pro")
    assert reading.is_complete
    assert reading.has_content == (case != "blocked")


def test_first_part_with_something_in_it_is_the_first_content():
    reading = reader("gemini")
    reading.feed(text("") + event({"usageMetadata": {"promptTokenCount": 1}}) + event({"candidates": [{}]}) + event({}))
    assert not reading.has_content
    reading.feed(event({"candidates": [{"content": {"parts": [{"text": "", "functionCall": {"name": "f"}}]}}]}))
    assert reading.has_content


def test_every_candidate_must_finish():
    reading = reader("gemini")
    reading.feed(text("a") + text("b", index=1) + text("", "STOP"))
    assert not reading.is_complete
    reading.feed(text("", "MAX_TOKENS", index=1))
    assert reading.is_complete


@pytest.mark.parametrize(
    ("error", "failure", "status"),
    [
        ({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}, "m", 429),
        ([{"error": {"message": "m", "status": "UNAVAILABLE"}}], "m", 503),
        ({"error": {"message": "m", "status": "NEW"}}, "m", 0),
    ],
)
def test_error_chunks_end_the_stream_as_failures(error, failure, status):
    reading = reader("gemini")
    reading.feed(event(error))
    assert (reading.failure, reading.failure_status, reading.is_complete) == (failure, status, True)


@pytest.mark.parametrize("case", ["text", "thought_call", "blocked", "error", "error_list"])
def test_array_holds_the_same_chunks_as_the_events(case):
    body = stream("gemini", case)
    sent = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: ")]
    sent = [chunk[0] if isinstance(chunk, list) else chunk for chunk in sent]
    assert json.loads(run(reader("gemini", wants_sse=False), body)) == sent


def test_array_grows_with_each_event():
    reading = reader("gemini", wants_sse=False)
    first = reading.feed(text("a"))
    assert json.loads(first + b"]")[0]["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    assert reading.feed(b": comment\r\n\r\n\r\n") == b""
    second = reading.feed(text("b", "STOP"))
    assert json.loads(first + GEMINI.heartbeat + second + reading.finish())


def test_array_leaves_out_what_is_no_json():
    reading = reader("gemini", wants_sse=False)
    passed = reading.feed(text("a") + event(b"{torn") + event(b"[]") + event(b'"odd"') + text("b", "STOP"))
    assert len(json.loads(passed + reading.finish())) == 3


@pytest.mark.parametrize("before", [b"", text("a")])
def test_broken_array_is_closed_with_the_error(before):
    reading = reader("gemini", wants_sse=False)
    passed = reading.feed(before + b'data: {"cand') + reading.finish()
    passed += reading.error_event(UpstreamFailed("It broke."), "req_1")
    assert json.loads(passed)[-1]["error"]["message"] == "It broke."


def test_error_chunk_starts_with_the_error_as_the_sdk_wants_it():
    assert reader("gemini").error_event(GatewayError("m"), "r").startswith(b'data: {"error":{"code":500,')


def test_answer_facts():
    answer = GEMINI.read_answer(
        "gemini:generateContent",
        b'{"candidates":[],"modelVersion":"g","usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":2}}',
    )
    assert (answer.model, answer.usage) == ("g", Usage(input_tokens=5, output_tokens=2, reasoning_tokens=2))
    assert GEMINI.read_answer("gemini:countTokens", b'{"totalTokens":5}').usage is None
    with pytest.raises(ValueError, match="no way"):
        GEMINI.read_answer("gemini:generateContent", b'{"error":{"message":"no way"}}')


def test_listing_names_resources():
    listed = json.loads(GEMINI.model_list(["a/b", "tunedModels/t"], 0))["models"]
    assert [card["name"] for card in listed] == ["models/a/b", "tunedModels/t"]
    assert "generateContent" in listed[0]["supportedGenerationMethods"]
