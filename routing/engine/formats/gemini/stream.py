"""Gemini streams: chunks as `data:` events, or, for a client that did not ask for events, as one growing array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.errors import GatewayError
from routing.engine.format import StreamReader
from routing.engine.formats.gemini.response import ErrorObject, UsageCounts, error_body
from routing.engine.wirejson import is_json


class _Candidate(msgspec.Struct, rename="camel"):
    index: int | None = 0
    content: msgspec.Raw = msgspec.Raw()
    finish_reason: Any = None


class _PromptFeedback(msgspec.Struct, rename="camel"):
    block_reason: Any = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _PromptFeedback | None = None
    usage_metadata: UsageCounts | None = None
    model_version: Any = None
    error: ErrorObject | None = None


class _Content(msgspec.Struct):
    parts: list[dict[str, Any]] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_CHUNKS = msgspec.json.Decoder(list[_Chunk])
_CONTENT = msgspec.json.Decoder(_Content | None)


@dataclass(slots=True)
class GeminiReader(StreamReader):
    """The upstream is always asked for events; they become array elements where the client wants an array."""

    _seen: set[int | None] = field(default_factory=set)
    _finished: set[int | None] = field(default_factory=set)
    _has_opened: bool = False
    _is_element: bool = False

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one chunk; an error may come as a list of one."""
        if data.lstrip()[:1] == b"[":
            chunks = self._decode(_CHUNKS, data)
        else:
            chunk = self._decode(_CHUNK, data)
            chunks = None if chunk is None else [chunk]
        # An array with anything but JSON in it could not be read at all, so that is left out of it.
        self._is_element = chunks is not None or is_json(data)
        for each in chunks or ():
            self._read_chunk(each)

    def _read_chunk(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            self._fail(*chunk.error.failure)
            return
        if chunk.usage_metadata is not None:
            self.usage = chunk.usage_metadata.total()
        if isinstance(chunk.model_version, str):
            self.model = chunk.model_version
        for candidate in chunk.candidates or ():
            self._seen.add(candidate.index)
            if candidate.finish_reason:
                self._finished.add(candidate.index)
            if not self.has_content:
                content = self._decode(_CONTENT, candidate.content) or _Content()
                self.has_content = any(
                    value for part in content.parts or () for key, value in part.items() if key != "thought"
                )
        is_blocked = chunk.prompt_feedback is not None and bool(chunk.prompt_feedback.block_reason)
        self.is_complete = self.is_complete or is_blocked or (bool(self._seen) and self._seen == self._finished)

    def relay(self, block: bytes, data: bytes) -> bytes:
        """Return the event as it came, or its data as the array's next element."""
        if self.asked.wants_sse:
            return block
        element = data.strip()
        if element.startswith(b"["):
            element = element[1:-1].strip()
        return self._open() + element if element and self._is_element else b""

    def finish(self) -> bytes:
        """Close the array, when the stream is whole."""
        rest = StreamReader.finish(self)  # super() without arguments does not work in a slotted dataclass
        if self.asked.wants_sse or not self.is_complete:
            return rest
        return rest + b"\n]\n"

    def _open(self) -> bytes:
        before = b"\n,\r\n" if self._has_opened else b"["
        self._has_opened = True
        return before

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the error as the last chunk. The SDKs raise on a chunk that starts with `error`."""
        body = error_body(error, request_id)[1]
        return b"data: " + body + b"\r\n\r\n" if self.asked.wants_sse else self._open() + body + b"\n]\n"
