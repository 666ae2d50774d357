"""The four conversation formats as error tests ask them, and what an error says in each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.routing.engine import claude
from tests.routing.engine.harness import GOOD_WHOLE, Answer, Step

RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "real-m"}
CONTENT = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
COUNTS = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
#: Format → a good whole answer.
GOOD: dict[str, bytes] = {
    "openai-chat": GOOD_WHOLE,
    "openai-responses": json.dumps(RESPONSE | {"output": [], "usage": None}).encode(),
    "anthropic": json.dumps(claude.ANSWER).encode(),
    "gemini": json.dumps({"candidates": [CONTENT], "usageMetadata": COUNTS}).encode(),
}


@dataclass(frozen=True)
class Told:
    """An error, whatever the format: `word` is its type or status word, `code` empty where the format has none."""

    status: int
    message: str
    word: str
    code: str
    request_id: str
    docs: str
    suggestions: list[str]


@dataclass(frozen=True)
class Dialect:
    """A conversation format; `other` is the one of an upstream that needs a translation."""

    name: str
    other: str
    #: What makes an unknown path answer in this format.
    headers: dict[str, str]

    def path(self, model: str = "m", *, is_stream: bool = False) -> str:
        if self.name == "gemini":
            return f"/v1beta/models/{model}:{'streamGenerateContent' if is_stream else 'generateContent'}"
        paths = {"openai-chat": "/v1/chat/completions", "openai-responses": "/v1/responses"}
        return paths.get(self.name, "/v1/messages")

    def body(self, model: str = "m", text: str = "hi", **more: Any) -> dict[str, Any]:
        if self.name == "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}
        if self.name == "openai-responses":
            return {"model": model, "input": text, **more}
        limit = {"max_tokens": 9} if self.name == "anthropic" else {}
        return {"model": model, "messages": [{"role": "user", "content": text}], **limit, **more}

    def good(self, *, is_translated: bool = False) -> Step:
        return Step(chunks=[GOOD[self.other if is_translated else self.name]])

    def endpoints(self, *, is_translated: bool) -> dict[str, str]:
        if is_translated:
            return {self.other: "/it"}
        if self.name == "gemini":
            return {"gemini:generateContent": "/it", "gemini:streamGenerateContent": "/them"}
        return {self.name: "/it"}

    def told(self, answer: Answer) -> Told:
        """Return what an error answer says."""
        return self._read(answer.status, answer.json, answer.headers["x-request-id"])

    def told_last(self, answer: Answer) -> Told:
        """Return what the last event of a stream says; that of Responses has a closed set of codes."""
        events = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
        last = json.loads(events[-1])
        if self.name == "openai-responses":
            assert last["type"] == "response.failed" and last["response"]["status"] == "failed"
            error = last["response"]["error"]
            last = {"error": {**error, "code": error["reason"]}}
        return self._read(answer.status, last, answer.headers["x-request-id"])

    def _read(self, status: int, said: dict[str, Any], request_id: str) -> Told:
        error = said["error"]
        if self.name == "anthropic":
            assert said.keys() == {"type", "error", "request_id"} and said["type"] == "error"
            return Told(status, error["message"], error["type"], "", said["request_id"], "", [])
        if self.name == "gemini":
            details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
            info = details["ErrorInfo"]
            assert info["domain"] == "routex" and status in {error["code"], 200}
            return Told(
                status,
                error["message"],
                error["status"],
                info["reason"],
                details["RequestInfo"]["requestId"],
                details["Help"]["links"][0]["url"] if "Help" in details else "",
                list(filter(None, info.get("metadata", {}).get("suggestions", "").split(", "))),
            )
        assert error["request_id"] == request_id
        return Told(
            status,
            error["message"],
            error["type"],
            error["code"] or "upstream_refused",
            error["request_id"],
            error.get("docs", ""),
            error.get("suggestions", []),
        )


DIALECTS = {
    each.name: each
    for each in (
        Dialect("openai-chat", "anthropic", {}),
        Dialect("openai-responses", "anthropic", {}),
        Dialect("anthropic", "openai-chat", {"anthropic-version": "2023-06-01"}),
        Dialect("gemini", "openai-chat", {"x-goog-api-client": "google-genai-sdk/3"}),
    )
}
