"""The contract of a wire format: find a request's facts, change its model, follow its answer, render its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for. `model` is set where the path names it; then the body does not."""

    operation: str
    model: str = ""


@dataclass(slots=True)
class Asked:
    """What the gateway needs to know of a request, read without decoding the rest of its body."""

    model: str
    is_stream: bool = False
    #: The client itself asked for usage in the stream (formats that give it only on request).
    wants_usage: bool = True
    #: Candidate session ids found in the body, first one wins (ux: `metadata.user_id`, `prompt_cache_key`).
    session_hint: str = ""


@dataclass(slots=True)
class Answer:
    """What a whole answer says about itself."""

    usage: Usage | None = None
    model: str = ""


@dataclass(slots=True)
class StreamReader(ABC):
    """Follows one passing stream. Any cut of the bytes into chunks gives the same facts and the same output.

    Subclasses keep what they need between chunks and never read twice what was seen.
    """

    usage: Usage | None = None
    #: The model the upstream says it used.
    model: str = ""
    #: The first content event has passed: the commit point (decisions 15).
    has_content: bool = False
    #: The format's terminal marker has passed (protocols §4.5): an end before it is a truncation.
    is_complete: bool = False
    #: Text of an error event inside the stream, "" when none came.
    failure: str = ""
    #: HTTP-like status that the error event stands for (429, 529, …), 0 when unknown.
    failure_status: int = 0

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the upstream; return the bytes to pass on now (usually the same)."""

    def finish(self) -> bytes:
        """The upstream ended; return held bytes that are still to be passed on."""
        return b""

    @property
    @abstractmethod
    def is_between_events(self) -> bool:
        """Whether what was passed on so far ends at an event boundary, so that a heartbeat may go out."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error in a format's shape: the status may differ from the error's own where the format says so."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = field(default=())


class Format(ABC):
    """One wire format as clients speak it. Implementations are folders under `formats/`; none knows another."""

    name: ClassVar[str]
    #: Exact path → operation. Paths that carry the model are found by `route`.
    paths: ClassVar[Mapping[str, str]] = {}
    #: Bytes that the format's SDKs take for nothing, sent between events in long silences; b"" = never.
    heartbeat: ClassVar[bytes] = b""
    stream_content_type: ClassVar[bytes] = b"text/event-stream; charset=utf-8"

    def route(self, path: str) -> Route | None:
        """Return what a path (without query) asks for, or None when it is not this format's."""
        operation = self.paths.get(path)
        return Route(operation) if operation else None

    @abstractmethod
    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request.

        Raises:
            BadRequest: the body is not JSON (line, column and surroundings in the text), is another format's body,
                or lacks what routing needs.
        """

    @abstractmethod
    def write_request(self, body: bytes, asked: Asked, model: str) -> bytes:
        """Return the body for an upstream: the same bytes but for the model name and a usage request where needed."""

    @abstractmethod
    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer.

        Raises:
            ValueError: the body is not what the format promises (not JSON, or an error inside a 200).
        """

    @abstractmethod
    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader for one stream that answers this request."""

    @abstractmethod
    def error_reply(self, error: GatewayError, request_id: str) -> ErrorReply:
        """Return an error answer that the format's SDKs turn into the right exception class."""

    @abstractmethod
    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the bytes that tell of an error inside a stream that has begun; nothing may follow them."""

    def model_list(self, models: Sequence[str], created_s: int) -> bytes:
        """Return the body of this format's model listing; formats without one raise NotImplementedError."""
        raise NotImplementedError(self.name)

    def model_card(self, model: str, created_s: int) -> bytes:
        """Return the body that describes one model; formats without a listing raise NotImplementedError."""
        raise NotImplementedError(self.name)
