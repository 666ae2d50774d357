"""Bytes pass through unchanged, compared with what the fake upstream received and sent, in every format."""

from __future__ import annotations

import pytest

from tests.journeys.processes import ask

TEXT = "eins  zwei\\u2028drei vier – fünf 六 🙂"
CHAT = '{ "messages":[{"role":"user","content":"TEXT"}],\n\t"model" : "MODEL", "unknown": [1.0, 1e3, {"ü": null}]MORE}'
RESPONSES = '{"input" : "TEXT", "model":"MODEL","x":0.10MORE }'
MESSAGES = '{"max_tokens": 50, "messages":[{"role":"user","content":"TEXT"}] ,"model":"MODEL"MORE}'
CONTENTS = '{ "contents":[{"role":"user","parts":[{"text":"TEXT"}]}], "unknownYet": 1.50 }'
STREAM = ', "stream" : true'
WITH_USAGE = STREAM + ', "stream_options": {"include_usage": true}'

CASES = {
    "chat": ("/v1/chat/completions", CHAT, ""),
    "chat-stream": ("/v1/chat/completions", CHAT, WITH_USAGE),
    "responses": ("/v1/responses", RESPONSES, ""),
    "responses-stream": ("/v1/responses", RESPONSES, STREAM),
    "messages": ("/v1/messages", MESSAGES, ""),
    "messages-stream": ("/v1/messages", MESSAGES, STREAM),
    "count-tokens": ("/v1/messages/count_tokens", MESSAGES, ""),
    "gemini": ("/v1beta/models/MODEL:generateContent", CONTENTS, ""),
    "gemini-stream": ("/v1beta/models/MODEL:streamGenerateContent?alt=sse", CONTENTS, ""),
    "gemini-count": ("/v1beta/models/MODEL:countTokens", CONTENTS, ""),
    "embeddings": ("/v1/embeddings", '{"input" :["TEXT"], "model": "MODEL", "encoding_format":"float"}', ""),
    "completions": ("/v1/completions", '{"prompt" :"TEXT", "model": "MODEL","suffix": null}', ""),
    "completions-stream": ("/v1/completions", '{"prompt" :"TEXT", "model": "MODEL"MORE}', WITH_USAGE),
    "moderations": ("/v1/moderations", '{"input" :["TEXT"],"model" : "MODEL"}', ""),
    "speech": ("/v1/audio/speech", '{"input" :"TEXT", "voice":"alloy","model" : "MODEL"}', ""),
    "speech-events": ("/v1/audio/speech", '{"input" :"TEXT", "stream_format": "sse" ,"model" : "MODEL"}', ""),
    "images": ("/v1/images/generations", '{"prompt":"TEXT", "n" : 2,"model":"MODEL"}', ""),
    "images-stream": ("/v1/images/generations", '{"prompt":"TEXT", "stream":true ,"model":"MODEL"}', ""),
}


def request_of(case: str, model: str) -> tuple[str, bytes]:
    path, body, more = CASES[case]
    body = body.replace("MORE", more).replace("TEXT", TEXT).replace("MODEL", model)
    return path.replace("MODEL", model), body.encode()


@pytest.mark.parametrize("case", CASES)
def test_both_bodies_pass_unchanged(gateway, upstream, shopper, model, case):
    path, body = request_of(case, model)
    answer = gateway.ask(path, body, key=shopper.key)
    assert answer.status == 200, answer.body
    assert upstream.received(model) == body
    assert answer.body == upstream.sent(model) != b""


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_framed_as_the_upstreams_own(gateway, upstream, shopper, model, case):
    path, body = request_of(case, model)
    through, direct = gateway.ask(path, body, key=shopper.key), ask(upstream.port, path, body)
    own_type, real_type = through.headers["content-type"], direct.headers["content-type"]
    assert own_type.partition(";")[0] == real_type.partition(";")[0]
    assert through.headers.get("content-length") == direct.headers.get("content-length")
    assert through.headers["x-routex-model"] == model and through.headers["x-request-id"].startswith("req_")
    assert through.headers["cache-control"] == "no-store"


def test_only_the_models_bytes_change_where_its_name_does(gateway, upstream, shopper):
    _, body = request_of("chat", "public-name")
    answer = gateway.ask("/v1/chat/completions", body, key=shopper.key)
    assert upstream.received("upstream-name") == body.replace(b"public-name", b"upstream-name")
    assert answer.body == upstream.sent("upstream-name")


def test_a_usage_chunk_that_nobody_asked_for_is_all_that_is_taken_out(gateway, upstream, shopper, model):
    path, body = request_of("chat-stream", model)
    answer = gateway.ask(path, body.replace(b', "stream_options": {"include_usage": true}', b""), key=shopper.key)
    assert upstream.seen(model)[0]["body"]["stream_options"] == {"include_usage": True}
    events = upstream.sent(model).split(b"\n\n")
    (usage,) = [event for event in events if b'"choices":[]' in event]
    assert b'"prompt_tokens"' in usage
    assert answer.body.split(b"\n\n") == [event for event in events if event is not usage]


@pytest.mark.parametrize("case", ["chat", "messages", "gemini"])
def test_an_upstreams_own_refusal_passes_unchanged(gateway, upstream, shopper, model, case):
    path, body = request_of(case, f"{model}+400")
    answer = gateway.ask(path, body, key=shopper.key)
    assert answer.status == 400 and answer.body == upstream.sent(f"{model}+400") != b""
