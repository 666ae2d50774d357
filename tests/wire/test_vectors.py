"""Conversion vectors: our own under `vectors/`, and those of any folder that ROUTEX_WIRE_VECTORS names.

A vector is one JSON file: `kind` (request, response, stream), `from`, `to`, `options` (what the target is and can do),
`input`, and `expect` in the patterns of `patterns.py`. Streams are cut anew into packets of 1, 7 and 4,096 bytes.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.routing.engine.translation.sdk import accumulate
from tests.wire import adapter
from tests.wire.patterns import mismatches

OWN = Path(__file__).parent / "vectors"
ELSEWHERE = os.environ.get("ROUTEX_WIRE_VECTORS", "")
PATHS = [path for folder in (OWN, *([Path(ELSEWHERE)] if ELSEWHERE else [])) for path in sorted(folder.glob("*.json"))]
VECTORS = {f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8")) for path in PATHS}
HISTORY = {"openai-responses": "input", "gemini": "contents"}


def of_kind(kind: str) -> list[str]:
    return [name for name, vector in VECTORS.items() if vector["kind"] == kind]


def test_a_folder_that_is_named_has_vectors():
    assert not ELSEWHERE or any(name.startswith(Path(ELSEWHERE).name) for name in VECTORS)


@pytest.mark.parametrize("name", of_kind("request"))
def test_request(name):
    vector = VECTORS[name]
    expected, given = vector["expect"], adapter.convert_request(vector)
    if "reject" in expected:
        assert mismatches({"reject": expected["reject"]}, given) == []
        return
    assert mismatches(expected["body"], given.get("body")) == []
    assert mismatches(expected.get("headers", {}), {k.lower(): v for k, v in given.get("headers", {}).items()}) == []
    assert set(expected.get("warnings", [])) - set(given.get("warnings", [])) == set()


@pytest.mark.parametrize("name", of_kind("response"))
def test_response(name):
    vector = VECTORS[name]
    expected, given = vector["expect"], adapter.convert_response(vector)
    assert mismatches({key: expected[key] for key in ("status", "body") if key in expected}, given) == []
    assert mismatches(expected.get("headers", {}), given["headers"]) == []
    if "replay" in expected:
        replay = expected["replay"]
        request = followed_up(vector, given["body"], replay)
        assert mismatches(replay["body"], adapter.convert_followup(vector, request)) == []


def followed_up(vector: dict[str, Any], body: dict[str, Any], replay: dict[str, Any]) -> dict[str, Any]:
    """Return the client's next request: its last one, the answer as it echoes it, and what it adds."""
    client = vector["to"]
    request = json.loads(json.dumps(vector["input"]["request"]))
    key = HISTORY.get(client, "messages")
    before = request[key] if isinstance(request[key], list) else [{"role": "user", "content": request[key]}]
    turn = echoed(client, body, is_forgetful=replay.get("strip_unknown", False))
    added = replay.get("append", [])
    if "append_tool_results" in replay:
        calls = turn[0].get("tool_calls", [])
        added = [
            {"role": "tool", "tool_call_id": call["id"], "content": replay["append_tool_results"]} for call in calls
        ]
    request[key] = before + turn + added
    return request


def echoed(client: str, body: dict[str, Any], *, is_forgetful: bool) -> list[dict[str, Any]]:
    """Return the turn that a client makes of an answer."""
    if client == "openai-responses":
        return body["output"]
    if client == "gemini":
        return [body["candidates"][0]["content"]]
    if client == "anthropic":
        return [{"role": "assistant", "content": body["content"]}]
    message = body["choices"][0]["message"]
    if is_forgetful:
        message = {name: message.get(name) for name in ("role", "content", "refusal", "tool_calls")}
        for call in message["tool_calls"] or []:
            for name in set(call) - {"id", "type", "function", "custom"}:
                del call[name]
    return [{name: value for name, value in message.items() if value is not None}]


@pytest.mark.parametrize("size", [0, 1, 7, 4096], ids=lambda size: f"cut{size}" if size else "uncut")
@pytest.mark.parametrize("name", of_kind("stream"))
def test_stream(name, size):
    vector = VECTORS[name]
    chunks = [chunk.encode("latin-1") for chunk in vector["input"]["chunks"]]
    if size:
        raw = b"".join(chunks)
        chunks = [raw[place : place + size] for place in range(0, len(raw), size)]
    told = b"".join(adapter.convert_stream(vector, chunks))
    seen = accumulate(vector["to"], [told[place : place + 5] for place in range(0, len(told), 5)])
    expected = vector["expect"]
    if "error" in expected:
        assert seen.error is not None
        body = getattr(seen.error, "body", None) or getattr(seen.error, "details", None)
        assert (
            mismatches(expected["error"].get("body", {"$absent": True}), body) == [] or "body" not in expected["error"]
        )
        return
    assert seen.error is None
    assert mismatches(expected["final"], joined(vector["to"], seen.answer)) == []


def joined(client: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with neighbouring text parts as one, where the SDK leaves that to its user."""
    for candidate in answer.get("candidates", []) if client == "gemini" else []:
        content = candidate["content"] = {"role": "model", **candidate["content"]}
        parts: list[dict[str, Any]] = []
        for part in content["parts"]:
            last = parts[-1] if parts else {}
            if (
                is_text(last)
                and is_text(part)
                and "thoughtSignature" not in last
                and last.get("thought") == part.get("thought")
            ):
                last |= {**part, "text": last["text"] + part["text"]}
            else:
                parts.append(dict(part))
        content["parts"] = [part for part in parts if part != {"text": ""}]
    return answer


def is_text(part: dict[str, Any]) -> bool:
    """Whether a part is text that may go on: a signature closes it."""
    return "text" in part and set(part) <= {"text", "thought", "thoughtSignature"}
