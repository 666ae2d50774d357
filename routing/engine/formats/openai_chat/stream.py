"""Chat Completions streams: chunks as `data:` events without names, then `[DONE]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.errors import GatewayError
from routing.engine.format import StreamReader
from routing.engine.openai_shape import error_object, failure_of, read_usage, text_of


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: msgspec.Raw = msgspec.Raw()
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_DELTA = msgspec.json.Decoder(dict[str, Any] | None)


@dataclass(slots=True)
class ChatReader(StreamReader):
    """Takes out the usage chunk that the client did not ask for, and a `[DONE]` that comes too early."""

    _seen: set[int | None] = field(default_factory=set)
    _finished: set[int | None] = field(default_factory=set)
    _is_kept: bool = True

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one chunk, or of the `[DONE]`."""
        self._is_kept = True
        if data.startswith(b"[DONE]"):
            # By itself it ends nothing. Without its finish reasons the answer was cut short, and a client that reads
            # [DONE] would take it for whole: it is held back, so that an error can follow.
            self.is_complete = self.is_complete or (bool(self._seen) and self._seen == self._finished)
            self._is_kept = self.is_complete
            return
        chunk = self._decode(_CHUNK, data)
        if chunk is None:
            return
        if chunk.error:
            self._fail(*failure_of(chunk.error))
            return
        self.model = text_of(chunk.model) or self.model
        if (usage := read_usage(chunk.usage)) is not None:
            self.usage = usage
            self._is_kept = bool(chunk.choices) or self.asked.wants_usage
        for choice in chunk.choices or ():
            self._read_choice(choice)

    def _read_choice(self, choice: _Choice) -> None:
        self._seen.add(choice.index)
        if not self.has_content:
            delta = self._decode(_DELTA, choice.delta) or {}
            self.has_content = any(value for key, value in delta.items() if key != "role")
        if not choice.finish_reason:
            return
        self._finished.add(choice.index)
        if choice.finish_reason == "error" and not self.failure:  # OpenRouter's way to say that its upstream broke
            self._fail("the upstream ended the answer with an error", 502)
        self.is_complete = self.is_complete or (self._finished == self._seen and len(self._seen) >= self.asked.choices)

    def relay(self, block: bytes, data: bytes) -> bytes:
        """Return the event, or nothing where it was only for us."""
        return block if self._is_kept or not data else b""

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `data: {"error": {…}}`, on which the SDKs raise; no `[DONE]` may follow it."""
        return b"data: " + msgspec.json.encode({"error": error_object(error, request_id)}) + b"\n\n"
