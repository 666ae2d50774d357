"""Chat Completions that pass unread: what routing needs of a request, the bytes for an upstream, an answer's facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds, splice
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, StreamReader
from routing.engine.openai_shape import AnswerFacts, answer_of, error_object, failure_of, read_usage, text_of
from routing.engine.wirejson import decode

_encode = msgspec.json.Encoder().encode


class _Completion(AnswerFacts):
    choices: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: msgspec.Raw = msgspec.Raw()
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_CHUNK = msgspec.json.Decoder(_Chunk)
_DELTA = msgspec.json.Decoder(dict[str, Any] | None)


def read_request(body: bytes) -> Asked:
    """Return the facts of a request.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("messages",), "/v1/chat/completions")
    asked = Asked(read_model(members), is_stream=read_flag(members, "stream"), members=members)
    asked.session_hint = text_of(read_any(members, "prompt_cache_key"))
    if asked.is_stream:
        options = read_any(members, "stream_options")
        asked.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        choices = read_any(members, "n")
        asked.choices = choices if isinstance(choices, int) else 1
    return asked


def write_request(body: bytes, asked: Asked, model: str) -> bytes:
    """Return the body with the upstream's model name.

    A stream tells its usage only when asked to; we always ask, and take the answer out again for a client that did
    not (ADR 7).
    """
    changes = {"model": _encode(model)}
    if asked.is_stream and not asked.wants_usage:
        options = read_any(asked.members, "stream_options")
        kept = options if isinstance(options, dict) else {}
        changes["stream_options"] = _encode({**kept, "include_usage": True})
    return splice(body, asked.members, changes)


def read_answer(body: bytes) -> Answer:
    """Return the facts of a completion.

    Raises:
        ValueError: see the contract.
    """
    completion = decode(_COMPLETION, body)
    answer = answer_of(completion)
    if not completion.choices:
        raise ValueError("the answer has no choices")
    return answer


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
            self._count_piece(choice.delta)
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
