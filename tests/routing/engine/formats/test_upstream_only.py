"""Clients of two formats, answered by upstreams that speak formats which no client speaks."""

import base64
import json

import pytest

from tests.routing.engine.frames import event as frame
from tests.routing.engine.harness import PATHS, Harness, Step, streamed

COUNTS = {"inputTokens": 3, "outputTokens": 2}
SAID = {"model": "m", "message": {"role": "assistant", "content": "Hello"}, "done": False}
OLLAMA = SAID | {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
COHERE_USAGE = {"tokens": {"input_tokens": 3, "output_tokens": 2}}
COHERE_MESSAGE = {"content": [{"type": "text", "text": "Hello"}]}
COHERE = {"finish_reason": "COMPLETE", "message": COHERE_MESSAGE, "usage": COHERE_USAGE}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": COUNTS,
}
CLAUDE_USAGE = {"input_tokens": 3, "output_tokens": 2}
CLAUDE = {"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn", "usage": CLAUDE_USAGE}
CLAUDE_EVENTS = [
    {"type": "message_start", "message": {"usage": CLAUDE_USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
COHERE_EVENTS = [
    {"type": "message-start", "id": "g"},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
]


def line(said):
    return json.dumps(said).encode() + b"\n"


def named(said):
    return f"event: {said['type']}\ndata: {json.dumps(said)}\n\n".encode()


def chunk(said):
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(said).encode()).decode()})


#: A whole answer, the pieces of a stream, and how many of them, at its end, say that it is whole.
UPSTREAMS = {
    "ollama": (OLLAMA, [line(SAID), line(OLLAMA | {"message": {"content": ""}})], 1),
    "cohere": (COHERE, [named(each) for each in COHERE_EVENTS], 1),
    "bedrock-converse": (
        CONVERSE,
        [
            frame("messageStart", {"role": "assistant"}),
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
            frame("contentBlockStop", {"contentBlockIndex": 0}),
            frame("messageStop", {"stopReason": "end_turn"}),
            frame("metadata", {"usage": COUNTS}),
        ],
        2,
    ),
    "bedrock-invoke": (CLAUDE, [chunk(each) for each in CLAUDE_EVENTS], 2),
    "vertex-anthropic": (CLAUDE, [named(each) for each in CLAUDE_EVENTS], 2),
}


def gateway(name, step):
    harness = Harness(step)
    harness.provider.endpoints = {name: "/whole", f"{name}:stream": "/stream"}
    return harness


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("name", UPSTREAMS)
async def test_whole_answers_reach_their_client(name, path):
    harness = gateway(name, Step(chunks=[json.dumps(UPSTREAMS[name][0]).encode()]))
    answer = await harness.ask(path=PATHS[path], max_tokens=50)
    assert answer.status == 200
    said = answer.json
    text = said["choices"][0]["message"]["content"] if path == "openai-chat" else said["content"][0]["text"]
    assert text == "Hello"
    usage = harness.records[0].usage
    assert (usage.input_tokens, usage.output_tokens) == (3, 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("name", UPSTREAMS)
async def test_streams_reach_their_client(name, path):
    body = b"".join(UPSTREAMS[name][1])
    pieces = [body[start : start + 50] for start in range(0, len(body), 50)]
    harness = gateway(name, streamed(*pieces))
    answer = await harness.ask(path=PATHS[path], max_tokens=50, stream=True)
    assert b"Hello" in answer.body
    assert answer.body.rstrip().endswith(b"[DONE]" if path == "openai-chat" else b'data: {"type":"message_stop"}')
    assert harness.records[0].outcome == "answered"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", UPSTREAMS)
async def test_streams_that_are_cut_end_with_an_error(name):
    _, pieces, terminal = UPSTREAMS[name]
    harness = gateway(name, streamed(*pieces[:-terminal]))
    answer = await harness.ask(path=PATHS["anthropic"], max_tokens=50, stream=True)
    assert b"Hello" in answer.body
    assert b"message_stop" not in answer.body
    assert b"error" in answer.body


@pytest.mark.asyncio
async def test_betas_of_a_clients_header_reach_hosts_that_know_them():
    harness = gateway("bedrock-invoke", Step(chunks=[json.dumps(CLAUDE).encode()]))
    headers = {"anthropic-beta": "claude-code-20250219,context-1m-2025-08-07"}
    await harness.ask(path=PATHS["anthropic"], max_tokens=50, headers=headers)
    (request,) = harness.provider.sent
    assert json.loads(request.body)["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert not [name for name, _ in request.headers if "beta" in name]


@pytest.mark.asyncio
async def test_betas_of_a_clients_header_stay_one_where_the_host_reads_headers():
    harness = gateway("vertex-anthropic", Step(chunks=[json.dumps(CLAUDE).encode()]))
    headers = {"anthropic-beta": "claude-code-20250219,context-1m-2025-08-07"}
    await harness.ask(path=PATHS["anthropic"], max_tokens=50, headers=headers)
    (request,) = harness.provider.sent
    assert [value for name, value in request.headers if name == "anthropic-beta"] == ["context-1m-2025-08-07"]
    assert "anthropic_beta" not in json.loads(request.body)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", UPSTREAMS)
async def test_a_path_that_streams_does_so_whatever_the_body_says(name):
    harness = gateway(name, streamed(*UPSTREAMS[name][1]))
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "stream": False, "model": "another"}
    answer = await harness.ask(body, path=PATHS["gemini:streamGenerateContent"], query="alt=sse")
    assert answer.status == 200
    assert b"Hello" in answer.body
    assert b"STOP" in answer.body
