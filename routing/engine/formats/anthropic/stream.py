"""Messages streams: named events from message_start to message_stop, pings and errors between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.errors import GatewayError
from routing.engine.format import StreamReader
from routing.engine.formats.anthropic.response import ErrorObject, UsageCounts, error_object

# What may pass before the first piece of an answer: a block's start has no text yet.
_PROLOGUE = frozenset({b"message_start", b"content_block_start", b"ping"})


class _Message(msgspec.Struct):
    model: Any = None
    usage: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    stop_reason: Any = None


class _Event(msgspec.Struct):
    message: _Message | None = None
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
