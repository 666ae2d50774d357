"""What the wire formats of echo share: the shape of an operation, framing of events, ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from msgspec.json import encode

from channels_app.engine.provider import UpstreamRequest

#: A whole body, or the pieces of a stream, each one or more events.
Answer = bytes | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Wire:
    """One operation in its own format.

    `answer` raises msgspec.MsgspecError for a body that is not what the format promises; `error` turns a status,
    a message and the request's id into a body.
    """

    answer: Callable[[UpstreamRequest], Answer]
    error: Callable[[int, str, str], bytes]
    id_header: bytes = b"x-request-id"


def new_id(prefix: str) -> str:
    """Return an id as upstreams mint them: the prefix and 24 random characters."""
    return prefix + uuid4().hex[:24]


def data_event(data: Any, end: bytes = b"\n\n") -> bytes:
    """Return a server-sent event without a name."""
    return b"data: " + encode(data) + end


def named_event(data: dict[str, Any]) -> bytes:
    """Return a server-sent event named after its data's `type`."""
    return f"event: {data['type']}\ndata: ".encode() + encode(data) + b"\n\n"
