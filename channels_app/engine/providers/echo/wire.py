"""What the wire formats of echo share: the shape of an operation, framing of events, ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

from msgspec.json import encode

from channels_app.engine.provider import UpstreamRequest


class Typed(NamedTuple):
    """A body that is neither JSON nor events, in pieces."""

    content_type: bytes
    pieces: Iterator[bytes]


#: A whole body in JSON, the pieces of a stream, each one or more events, or what has a type of its own.
Answer = bytes | Iterator[bytes] | Typed


@dataclass(frozen=True, slots=True)
class Wire:
    """One operation in its own format.

    `answer` raises msgspec.MsgspecError for a body that is not what the format promises; `error` turns a status,
    a message and the request's id into a body. Where requests are forms, `answer` gets their `Form` in JSON.
    """

    answer: Callable[[UpstreamRequest], Answer]
    error: Callable[[int, str, str], bytes]
    id_header: bytes = b"x-request-id"
    takes_form: bool = False


def new_id(prefix: str) -> str:
    """Return an id as upstreams mint them: the prefix and 24 random characters."""
    return prefix + uuid4().hex[:24]


def data_event(data: Any, end: bytes = b"\n\n") -> bytes:
    """Return a server-sent event without a name."""
    return b"data: " + encode(data) + end


def named_event(data: dict[str, Any]) -> bytes:
    """Return a server-sent event named after its data's `type`."""
    return f"event: {data['type']}\ndata: ".encode() + encode(data) + b"\n\n"
