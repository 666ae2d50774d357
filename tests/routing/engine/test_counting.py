"""Counts of tokens: the upstream's own where it can count, whatever format it speaks; ours where it cannot."""

import json

import pytest

from routing.engine.document import ModelSpec
from routing.engine.formats import CODECS
from routing.engine.messages import Opaque, Origin
from routing.engine.provenance import wrap
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, status

#: For each client its path, a request as its SDK sends it, and the count's member in the answer.
CLIENTS = {
    "anthropic": (
        "/v1/messages/count_tokens",
        b'{ "model" : "m", "messages":[{"role":"user","content":"How far is it?"}], "system":"Be brief." }',
        "input_tokens",
    ),
    "gemini": (
        "/v1beta/models/m:countTokens",
        b'{ "contents":[{"role":"user","parts":[{"text":"How far is it?"}]}] }',
        "totalTokens",
    ),
}
COUNTERS = {"anthropic": "anthropic:count_tokens", "gemini": "gemini:countTokens"}
ANSWERS = {"anthropic": b'{ "input_tokens" : 21 }', "gemini": b'{ "totalTokens" : 21, "promptTokensDetails": [] }'}
PAIRS = [(client, upstream) for client in CLIENTS for upstream in COUNTERS]


def gateway(upstream, *steps, can_count=True, **fields):
    harness = Harness(*(steps or [Step(chunks=[ANSWERS.get(upstream, b"{}")])]), **fields)
    harness.provider.endpoints = {CODECS[upstream].operation(False): "/answer"}
    if can_count:
        harness.provider.endpoints |= {COUNTERS[upstream]: "/count"}
    return harness


async def asked(harness, client, body=None):
    path, own, member = CLIENTS[client]
    answer = await harness.ask(body or own, path=path)
    return answer, answer.json.get(member)


def test_every_client_that_can_ask_for_a_count_is_tried():
    assert {CODECS[name].count_operation for name in CODECS} - {""} == set(COUNTERS.values())


@pytest.mark.asyncio
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_same_format_counts_by_itself_and_its_bytes_pass(client):
    harness = gateway(client)
    answer, count = await asked(harness, client)
    assert (answer.status, count) == (200, 21)
    assert answer.body == ANSWERS[client] and harness.provider.sent[0].body == CLIENTS[client][1]
    assert harness.provider.sent[0].url.endswith("/count")
    assert "x-routex-warnings" not in answer.headers


@pytest.mark.asyncio
async def test_the_model_within_a_counts_envelope_is_the_upstreams_too():
    harness = gateway("gemini", channels=[channel("a", models=[ModelSpec("m", "their-m")])])
    envelope = b'{ "generateContentRequest" : {"contents":[{"parts":[{"text":"Hi"}]}], "model":"models/m" }}'
    answer, count = await asked(harness, "gemini", envelope)
    assert (answer.status, count) == (200, 21)
    assert harness.provider.sent[0].body == envelope.replace(b"models/m", b"models/their-m")


@pytest.mark.asyncio
@pytest.mark.parametrize("upstream", ["anthropic", "gemini", "openai-chat", "bedrock-converse"])
@pytest.mark.parametrize("body", [{"model": "m"}, {"model": "m", "max_tokens": 9}])
async def test_a_request_for_a_stream_can_be_counted(upstream, body):
    harness = gateway(upstream, can_count=upstream in COUNTERS)
    whole = {**body, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    answer, count = await asked(harness, "anthropic", json.dumps(whole).encode())
    assert answer.status == 200, answer.body
    assert count == 21 if upstream in COUNTERS else count > 0


@pytest.mark.asyncio
@pytest.mark.parametrize(("client", "upstream"), [pair for pair in PAIRS if pair[0] != pair[1]])
async def test_an_upstream_of_another_format_counts_what_it_would_be_asked(client, upstream):
    harness = gateway(upstream, channels=[channel("a", models=[ModelSpec("m", "their-m")])])
    answer, count = await asked(harness, client)
    assert (answer.status, count) == (200, 21)
    sent = json.loads(harness.provider.sent[0].body)
    assert "How far is it?" in json.dumps(sent)
    assert sent.get("model", "their-m").endswith("their-m")
    assert "max_tokens" not in sent and "stream" not in sent
    assert answer.headers["x-routex-model"] == "their-m" and "x-routex-warnings" not in answer.headers
    assert harness.record.upstream_format == upstream


@pytest.mark.asyncio
@pytest.mark.parametrize("upstream", list(CODECS))
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_upstream_that_cannot_count_is_not_asked_and_the_estimate_says_so(client, upstream):
    harness = gateway(upstream, can_count=False)
    answer, count = await asked(harness, client)
    assert answer.status == 200 and 4 < count < 30
    assert answer.headers["x-routex-warnings"] == harness.record.warnings == "emulated:count_tokens"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-routex-attempts"] == "0"
    assert harness.provider.sent == []


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [status(500), status(429), status(404), Step(chunks=[b"<html>"])])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_count_that_fails_is_estimated(client, upstream, fault, monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)
    steps = [Step(fault.status, list(fault.chunks), fault.headers) for _ in range(3)]
    answer, count = await asked(gateway(upstream, *steps), client)
    assert answer.status == 200 and 4 < count < 30
    assert answer.headers["x-routex-warnings"] == "emulated:count_tokens"


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [400, 413, 422])
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_upstreams_refusal_of_the_request_itself_is_passed_to_its_own_client(client, code):
    refused = status(code)
    answer, _ = await asked(gateway(client, refused), client)
    assert answer.status == code and answer.body == refused.chunks[0]


@pytest.mark.asyncio
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_vocabulary_is_that_of_the_model_that_would_answer(client):
    body = CLIENTS[client][1].replace(b"How far is it?", ("Сколько ещё идти до гавани? " * 20).encode())
    counts = []
    for model in ("gpt-5.6", "anthropic.claude-sonnet-4-6-v1:0"):
        harness = gateway("openai-chat", can_count=False, channels=[channel("a", models=[ModelSpec("m", model)])])
        counts.append((await asked(harness, client, body))[1])
    assert counts[0] * 1.3 < counts[1]


@pytest.mark.asyncio
async def test_tools_and_transformers_are_counted_as_they_would_be_sent():
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    body["tools"] = [{"name": "look_up", "input_schema": {"type": "object"}}]
    harness = gateway("gemini", channels=[channel("a", transformers=("tooluse",))])
    await asked(harness, "anthropic", json.dumps(body).encode())
    sent = harness.provider.sent[0].body
    assert b"look_up" in sent and b"ExitTool" in sent


@pytest.mark.asyncio
@pytest.mark.parametrize("can_count", [True, False])
@pytest.mark.parametrize("client", CLIENTS)
async def test_what_is_no_request_is_refused_and_not_estimated(client, can_count):
    upstream = next(name for name in COUNTERS if name != client)
    body = b'{"model":"m","messages":5}' if client == "anthropic" else b'{"contents":5}'
    answer, count = await asked(gateway(upstream, can_count=can_count), client, body)
    assert answer.status == 400 and count is None


@pytest.mark.asyncio
async def test_state_of_another_upstream_is_not_counted_by_the_inventor_of_the_format():
    forged = wrap(Opaque("c2ln", Origin("gemini", "b", "theirs")))
    thought = {"type": "thinking", "thinking": "Hm.", "signature": forged}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Go on"}, {"role": "assistant", "content": [thought]}],
    }
    body["messages"].append({"role": "user", "content": "How far?"})
    harness = gateway("anthropic")
    answer, count = await asked(harness, "anthropic", json.dumps(body).encode())
    assert (answer.status, count) == (200, 21)
    assert b"How far?" in harness.provider.sent[0].body and forged.encode() not in harness.provider.sent[0].body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("client", "tools"),
    [
        ("anthropic", [{"name": "look_up", "input_schema": {"type": "object"}}]),
        ("gemini", [{"functionDeclarations": [{"name": "look_up"}]}]),
    ],
)
async def test_a_channels_transformers_are_counted_in_the_same_format_too(client, tools):
    body = json.dumps({**json.loads(CLIENTS[client][1]), "tools": tools}).encode()
    harness = gateway(client, channels=[channel("a", transformers=("tooluse",))])
    answer, count = await asked(harness, client, body)
    assert (answer.status, count) == (200, 21)
    sent = harness.provider.sent[0].body
    assert b"look_up" in sent and b"ExitTool" in sent


#: What only Chat Completions clients write.
CHAT = {
    "system": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How far?"}]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "How far?"}]},
    "tool": {
        "messages": [{"role": "user", "content": "How far?"}],
        "tools": [{"type": "function", "function": {"name": "map"}}],
    },
    "call": {
        "messages": [
            {"role": "user", "content": "How far?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "map", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "Nine miles."},
        ]
    },
    "picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "How far?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                ],
            }
        ]
    },
}


@pytest.mark.asyncio
@pytest.mark.parametrize("upstream", COUNTERS)
@pytest.mark.parametrize("body", CHAT.values(), ids=CHAT)
async def test_a_chat_body_is_converted_before_an_upstream_counts_it(body, upstream):
    harness = gateway(upstream)
    answer, count = await asked(harness, "anthropic", json.dumps({"model": "m", **body}).encode())
    assert (answer.status, count) == (200, 21)
    sent = json.loads(harness.provider.sent[0].body)
    assert "How far?" in json.dumps(sent)
    roles = {message["role"] for message in sent.get("messages", [])}
    assert roles <= {"user", "assistant"} and not {"tool_calls", "image_url", "function"} & _members(sent)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", CHAT.values(), ids=CHAT)
async def test_a_chat_body_that_nobody_counts_is_estimated(body):
    answer, count = await asked(
        gateway("openai-chat", can_count=False), "anthropic", json.dumps({"model": "m", **body}).encode()
    )
    assert answer.status == 200 and count > 3
    assert answer.headers["x-routex-warnings"] == "emulated:count_tokens"


@pytest.mark.asyncio
async def test_a_chat_body_that_is_wrong_is_refused_by_its_own_members():
    body = json.dumps({"model": "m", "messages": [{"role": "tool", "content": {"odd": 1}}]}).encode()
    answer, count = await asked(gateway("anthropic"), "anthropic", body)
    assert answer.status == 400 and count is None
    assert answer.json["type"] == "error" and "messages[0].content" in answer.json["error"]["message"]


def _members(value):
    if isinstance(value, dict):
        return set(value).union(*map(_members, value.values()))
    return set().union(*map(_members, value)) if isinstance(value, list) else set()
