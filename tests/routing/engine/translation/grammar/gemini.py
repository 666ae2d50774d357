"""The grammar of Gemini streams, as events and as an array."""

from __future__ import annotations

import json
from typing import Any

from tests.routing.engine.translation.grammar.reading import Reading


class GeminiReading(Reading):
    """Chunks as `data: ` events and nothing else: no names, no comments, no `[DONE]`; a finishReason at the end."""

    takes_comments = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: set[int] = set()
        self.finished: set[int] = set()
        self.is_blocked = False

    def take(self, name: str, data: str) -> None:
        self.expect(not name, f"a name, {name!r}, on an event: SDKs raise")
        self.expect("\n" not in data, "data on several lines: SDKs raise")
        chunk = self.decoded(data)
        if chunk is not None:
            self.take_chunk(chunk)

    def take_chunk(self, chunk: dict[str, Any]) -> None:
        """Read one chunk."""
        if "error" in chunk:
            error = chunk["error"]
            self.expect(next(iter(chunk)) == "error", "`error` is not the first member: SDKs look for it there")
            is_whole = isinstance(error, dict) and isinstance(error.get("code"), int) and error.get("message")
            self.expect(is_whole and isinstance(error.get("status"), str), f"error is {error!r}")
            self.ending = "error"
            return
        for candidate in chunk.get("candidates") or ():
            self._candidate(candidate)
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            self.is_blocked = True
        for key, value in (chunk.get("usageMetadata") or {}).items():
            if key.endswith("Count"):
                self.count(key, value)
        for key in ("responseId", "modelVersion"):
            if key in chunk:
                self.constant(key, chunk[key])

    def _candidate(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index", 0)
        self.seen.add(index)
        parts = (candidate.get("content") or {}).get("parts") or []
        said = [part for part in parts if part != {"text": ""}]
        self.expect(not (index in self.finished and said), f"parts after the finishReason: {said!r}")
        for part in parts:
            self._part(part)
        finish = candidate.get("finishReason")
        if finish is not None:
            self.expect(isinstance(finish, str) and finish.isupper(), f"finishReason is {finish!r}")
            self.expect(index not in self.finished, "finishReason twice")
            self.finished.add(index)

    def _part(self, part: dict[str, Any]) -> None:
        if "text" in part:
            self.text("text", part["text"])
        if "functionCall" in part:
            call = part["functionCall"]
            self.expect(isinstance(call.get("name"), str) and call["name"], f"a call without name: {call!r}")
            self.expect(isinstance(call.get("args", {}), dict), f"args is {call.get('args')!r}")

    def close(self) -> None:
        if self.ending == "open" and (self.is_blocked or (self.seen and self.seen == self.finished)):
            self.ending = "clean"


class GeminiArrayReading(GeminiReading):
    """The same chunks as the elements of one JSON array, for clients that did not ask for events."""

    def read(self, told: bytes) -> None:
        try:
            chunks = json.loads(told)
        except ValueError as error:
            self.wrong(f"is no JSON array: {error}")
            return
        for chunk in chunks:
            self.expect(self.ending == "open", f"something follows the end: {chunk}")
            self.events.append(chunk)
            self.take_chunk(chunk)
