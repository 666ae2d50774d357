"""Messages whose bytes pass unread: what routing needs of a request, an answer, a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, StreamReader
from routing.engine.formats.anthropic.vocabulary import ErrorObject, UsageCounts, error_object
from routing.engine.wirejson import decode

# What may pass before the first piece of an answer: a block's start has no text yet.
_PROLOGUE = frozenset({b"message_start", b"content_block_start", b"ping"})


def read_request(body: bytes) -> Asked:
    """Return the facts of a request; those of a token count are the same.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("messages",), "/v1/messages")
    return Asked(
        read_model(members),
        is_stream=read_flag(members, "stream"),
        session_hint=_session(read_any(members, "metadata")),
        members=members,
    )


def _session(metadata: Any) -> str:
    """Return the session inside `metadata.user_id`.

    Claude Code puts a JSON object there, older releases `user_…_account_…_session_<id>`; for others the user id
    itself is the best there is.
    """
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user_id, str):
        return ""
    if user_id.startswith("{"):
        try:
            return msgspec.json.decode(user_id, type=_UserId).session_id
        except ValueError:
            return ""
    return user_id.rpartition("_session_")[2]


class _UserId(msgspec.Struct):
    session_id: str = ""


class _Message(msgspec.Struct):
    model: Any = None
    content: msgspec.Raw = msgspec.Raw()
    input_tokens: int | None = None
    usage: UsageCounts | None = None
    error: ErrorObject | None = None


_MESSAGE = msgspec.json.Decoder(_Message)


def read_answer(body: bytes) -> Answer:
    """Return the facts of a message or of a token count, which costs no tokens.

    Raises:
        ValueError: see the contract.
    """
    message = decode(_MESSAGE, body)
    if message.error is not None:
        raise ValueError(message.error.failure[0])
    if not message.content and message.input_tokens is None:
        raise ValueError("the answer has no content")
    return Answer(
        usage=message.usage.total() if message.usage else None,
        model=message.model if isinstance(message.model, str) else "",
    )


class _Start(msgspec.Struct):
    model: Any = None
    usage: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    stop_reason: Any = None


class _Event(msgspec.Struct):
    message: _Start | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: ErrorObject | None = None


_EVENT = msgspec.json.Decoder(_Event)
_USAGE = msgspec.json.Decoder(UsageCounts | None)


@dataclass(slots=True)
class MessagesReader(StreamReader):
    """Adds up what message_start and message_delta say of usage: later numbers replace earlier ones."""

    _counts: UsageCounts = field(default_factory=UsageCounts)

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one event. An event without a name is none: the SDKs drop it."""
        if not name:
            return
        event = self._decode(_EVENT, data) or _Event()
        if name == b"error":
            self._fail(*(event.error or ErrorObject()).failure)
            return
        self.has_content = self.has_content or name not in _PROLOGUE
        if name == b"message_start" and event.message is not None:
            self.model = event.message.model if isinstance(event.message.model, str) else ""
            self._count(event.message.usage)
        elif name == b"content_block_delta":
            self._count_piece(data)
        elif name == b"message_delta":
            # message_stop only repeats this; an answer that has its stop reason is whole.
            self.is_complete = self.is_complete or bool(event.delta and event.delta.stop_reason)
            self._count(event.usage)
        elif name == b"message_stop":
            self.is_complete = True

    def _count(self, usage: msgspec.Raw) -> None:
        counts = self._decode(_USAGE, usage)
        if counts is not None:
            self._counts = counts.over(self._counts)
            self.usage = self._counts.total()

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `event: error`, on which the SDKs raise."""
        return b"event: error\ndata: " + msgspec.json.encode(error_object(error, request_id)) + b"\n\n"
