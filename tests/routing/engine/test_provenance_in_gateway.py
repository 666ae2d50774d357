"""Signed reasoning over two turns: back to who issued it to the letter, and to nobody else."""

import base64
import json

import pytest

from routing.engine.document import ModelSpec
from routing.engine.formats import CODECS
from routing.engine.provenance import PREFIX, may_hold_wrapper
from tests.routing.engine import claude
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import PATHS, Harness, Step, status

#: Base64, as one of the formats wants it; long enough to be found nowhere by chance.
BLOB = base64.b64encode(b"signed by channel a, and by nobody else").decode()
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
ARGUMENTS = {"place": "harbour"}
GEMINI_CALL = {"functionCall": {"name": "look_up", "args": ARGUMENTS}, "thoughtSignature": BLOB}

#: What channel `a` answers in its format: thoughts with their proof, and a call.
ISSUED = {
    "anthropic": claude.ANSWER
    | {
        "content": [
            {"type": "thinking", "thinking": "Where is it?", "signature": BLOB},
            {"type": "tool_use", "id": "call_1", "name": "look_up", "input": ARGUMENTS},
        ],
        "stop_reason": "tool_use",
    },
    "gemini": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "Where is it?", "thought": True}, GEMINI_CALL]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    },
    "openai-responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Where is it?"}],
                "encrypted_content": BLOB,
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "look_up",
                "arguments": json.dumps(ARGUMENTS),
                "status": "completed",
            },
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    },
}
#: A plain answer to the second turn.
PLAIN = {
    "anthropic": claude.ANSWER,
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    },
    "openai-chat": {
        "id": "c",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    },
    "openai-responses": ISSUED["openai-responses"]
    | {
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            }
        ]
    },
    "cohere": {"finish_reason": "COMPLETE", "message": {"content": [{"type": "text", "text": "Hello"}]}},
    "ollama": {"message": {"role": "assistant", "content": "Hello"}, "done": True, "done_reason": "stop"},
}


def first_turn(client):
    said = [{"role": "user", "content": "Where is it?"}]
    function = {"name": "look_up", "parameters": SCHEMA}
    if client == "anthropic":
        tools = [{"name": "look_up", "input_schema": SCHEMA}]
        return {"model": "m", "max_tokens": 4000, "messages": said, "tools": tools}
    if client == "gemini":
        contents = [{"role": "user", "parts": [{"text": "Where is it?"}]}]
        return {"contents": contents, "tools": [{"functionDeclarations": [function]}]}
    if client == "openai-responses":
        include = ["reasoning.encrypted_content"]
        return {"model": "m", "input": said, "tools": [{"type": "function", **function}], "include": include}
    return {"model": "m", "messages": said, "tools": [{"type": "function", "function": function}]}


def second_turn(client, answer):
    """Return the request that goes on from an answer: all of it, and what the call found."""
    asked = first_turn(client)
    if client == "anthropic":
        (call,) = (block for block in answer["content"] if block["type"] == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "two miles away"}
        turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        return asked | {"messages": asked["messages"] + turns}
    if client == "gemini":
        content = answer["candidates"][0]["content"]
        call = next(part["functionCall"] for part in content["parts"] if "functionCall" in part)
        found = {"name": "look_up", "response": {"output": "two miles away"}} | {
            k: call[k] for k in ("id",) if k in call
        }
        result = {"role": "user", "parts": [{"functionResponse": found}]}
        return asked | {"contents": [*asked["contents"], content, result]}
    if client == "openai-responses":
        (call,) = (item for item in answer["output"] if item["type"] == "function_call")
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "two miles away"}
        return asked | {"input": [*asked["input"], *answer["output"], result]}
    message = answer["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "two miles away"}
    return asked | {"messages": [*asked["messages"], message, result]}


def path_of(client):
    return PATHS.get(client) or PATHS[f"{client}:generateContent"]


def whole(body):
    return Step(chunks=[json.dumps(body).encode()])


def gateway(issuer, other=""):
    """A channel `a` that is tried first, and `b`, which is another account with a model of another family."""
    channels = [channel("a", priority=1, format=issuer, models=[ModelSpec("m", "alpha-1")])]
    if other:
        channels.append(channel("b", format=other, models=[ModelSpec("m", "beta-7")]))
    harness = Harness(channels=channels)
    harness.provider.endpoints = {CODECS[name].operation(False): "/it" for name in {issuer, other} - {""}}
    return harness


async def two_turns(harness, client, issuer, *second_steps):
    """Return the client's second request, and the answer to it."""
    harness.provider.steps = [whole(ISSUED[issuer])]
    first = await harness.ask(first_turn(client), path=path_of(client))
    assert first.status == 200, first.body
    asked = second_turn(client, first.json)
    harness.provider.steps = list(second_steps)
    return asked, await harness.ask(asked, path=path_of(client))


CLIENTS = ["anthropic", "gemini", "openai-chat", "openai-responses"]
OTHERS = list(PLAIN)


@pytest.mark.asyncio
@pytest.mark.parametrize("issuer", ISSUED)
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_issuer_gets_its_own_reasoning_back_to_the_letter(client, issuer):
    harness = gateway(issuer)
    _, answer = await two_turns(harness, client, issuer, whole(PLAIN[issuer]))
    assert answer.status == 200, answer.body
    sent = harness.provider.sent[-1].body
    assert sent.count(BLOB.encode()) == 1 and b"two miles away" in sent
    assert not may_hold_wrapper(sent)
    assert "dropped:thinking" not in answer.headers.get("x-routex-warnings", "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("client", "issuer", "other"),
    # Where all three are the same, bytes pass: nobody has looked into them, and the issuer is the format's inventor.
    [(c, i, o) for c in CLIENTS for i in ISSUED for o in OTHERS if not c == i == o],
)
async def test_whoever_else_is_asked_gets_nothing_of_it_and_the_client_is_told(client, issuer, other):
    harness = gateway(issuer, other)
    _, answer = await two_turns(harness, client, issuer, status(500), whole(PLAIN[other]))
    assert answer.status == 200, answer.body
    assert answer.headers["x-routex-channel"] == "b"
    sent = harness.provider.sent[-1].body
    assert b"two miles away" in sent and b"look_up" in sent
    assert BLOB.encode() not in sent and not may_hold_wrapper(sent) and PREFIX.encode() not in sent
    assert "dropped:thinking" in answer.headers["x-routex-warnings"].split(", ")
    assert "dropped:thinking" in harness.records[-1].warnings.split(", ")


@pytest.mark.asyncio
async def test_a_strict_client_is_not_sent_on_without_its_reasoning(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)
    harness = gateway("gemini", "openai-responses")
    asked, _ = await two_turns(harness, "anthropic", "gemini", whole(PLAIN["gemini"]))
    harness.provider.steps = [status(500), whole(PLAIN["gemini"])]
    answer = await harness.ask(asked, path=path_of("anthropic"), headers={"x-routex-strict": "1"})
    assert (answer.status, answer.headers["x-routex-channel"]) == (200, "a")
    tried = [(attempt.channel, attempt.reason) for attempt in harness.records[-1].attempts]
    assert tried[:2] == [("a", "status"), ("b", "cannot_carry")] and tried[-1] == ("a", "ok")


def forgetful(asked):
    """Return the request of a client that keeps of a message only what the format always had."""
    kept = ("role", "content", "tool_call_id")
    messages = []
    for message in asked["messages"]:
        plain = {name: message[name] for name in kept if name in message}
        if calls := message.get("tool_calls"):
            plain["tool_calls"] = [{name: call[name] for name in ("id", "type", "function")} for call in calls]
        messages.append(plain)
    return asked | {"messages": messages}


@pytest.mark.asyncio
@pytest.mark.parametrize("issuer", ISSUED)
async def test_a_client_that_forgets_costs_the_issuer_nothing_while_the_process_remembers(issuer):
    harness = gateway(issuer)
    asked, _ = await two_turns(harness, "openai-chat", issuer, whole(PLAIN[issuer]))
    plain = forgetful(asked)
    assert PREFIX not in json.dumps(plain) and BLOB not in json.dumps(plain)
    harness.provider.steps = [whole(PLAIN[issuer])]
    assert (await harness.ask(plain)).status == 200
    assert BLOB.encode() in harness.provider.sent[-1].body

    fresh = gateway(issuer)
    fresh.provider.steps = [whole(PLAIN[issuer])]
    assert (await fresh.ask(plain)).status == 200
    assert BLOB.encode() not in fresh.provider.sent[-1].body


@pytest.mark.asyncio
@pytest.mark.parametrize("other", [name for name in OTHERS if name != "gemini"])
async def test_what_the_process_remembers_goes_to_nobody_else_either(other):
    harness = gateway("gemini", other)
    asked, _ = await two_turns(harness, "openai-chat", "gemini", whole(PLAIN["gemini"]))
    harness.provider.steps = [status(500), whole(PLAIN[other])]
    answer = await harness.ask(forgetful(asked))
    assert (answer.status, answer.headers["x-routex-channel"]) == (200, "b")
    assert BLOB.encode() not in harness.provider.sent[-1].body
    # Chat Completions pass as they came: what the client did not bring is not looked for.
    assert ("dropped:thinking" in answer.headers.get("x-routex-warnings", "")) == (other != "openai-chat")


@pytest.mark.asyncio
async def test_what_the_client_carries_names_no_secret():
    harness = gateway("gemini")
    asked, _ = await two_turns(harness, "anthropic", "gemini", whole(PLAIN["gemini"]))
    carried = json.dumps(asked)
    assert PREFIX in carried and "chn_a" in carried
    assert "secret" not in carried and "sealed" not in carried
