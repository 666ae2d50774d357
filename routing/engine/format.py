"""The contract of a wire format: find a request's facts, change its model, follow its answer, render its errors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_
from types import MappingProxyType
from typing import ClassVar, Literal, TypeVar

import msgspec

from analytics.engine.record import Usage
from routing.engine.body import Members, splice
from routing.engine.errors import GatewayError
from routing.engine.sse import EventSplitter, parse_event
from routing.engine.wirejson import decode, is_json

T = TypeVar("T")
NO_QUERY: Mapping[str, str] = MappingProxyType({})

#: A rough mean over languages and programs; only for what nobody counted.
CHARS_PER_TOKEN = 4

#: How an answer is read: `events` one by one, `whole` and checked, or as `bytes` of any kind that pass as they come.
Reading = Literal["events", "whole", "bytes"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for. `model` is set where the path names it; then the body need not."""

    operation: str
    model: str = ""


@dataclass(slots=True)
class Asked:
    """What the gateway needs to know of a request, read without decoding the rest of its body."""

    model: str
    is_stream: bool = False
    #: The client itself asked for usage in the stream (formats that give it only on request).
    wants_usage: bool = True
    #: The client reads a stream as server-sent events; False: as one growing JSON array (Gemini without `alt=sse`).
    wants_sse: bool = True
    #: How many answers to the one question it wants (`n`).
    choices: int = 1
    #: The session id found in the body, "" when none (such as `metadata.user_id` or `prompt_cache_key`).
    session_hint: str = ""
    #: The body's members, for `write_request`.
    members: Members = field(default_factory=Members, repr=False)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How one limit stands: how much it allows, how much is left, and when all of it is back."""

    limit: int
    left: int
    reset_s: float


@dataclass(slots=True)
class Answer:
    """What a whole answer says about itself."""

    usage: Usage | None = None
    model: str = ""


@dataclass(slots=True)
class StreamReader(ABC):
    """Follows one passing stream of server-sent events; any cut of the bytes gives the same facts and output.

    Only whole events are passed on: nobody can use half an event, heartbeats and error events may go out between any
    two calls, and a client never sees the torn half of an event whose upstream broke.
    """

    asked: Asked
    #: The last report wins; reports are totals of the whole turn.
    usage: Usage | None = None
    #: The model the upstream says it used.
    model: str = ""
    #: The first content event has passed: the commit point (ADR 7). An answer may end without any.
    has_content: bool = False
    #: The stream has ended in its own way: its terminal marker or its own error event has passed.
    #: An end before it is a truncation, and the client is owed `error_event`.
    is_complete: bool = False
    #: Text of an error event inside the stream, or why an event cannot be read; "" when all is well.
    failure: str = ""
    #: HTTP-like status that the error event stands for (429, 529, …), 0 when unknown.
    failure_status: int = 0
    #: The same as an error that any format can tell, where the stream is translated.
    error: GatewayError | None = None
    #: How many pieces of content passed, how long they were together, and the shortest.
    _pieces: int = 0
    _piece_bytes: int = 0
    _shortest: int = 0
    _events: EventSplitter = field(default_factory=EventSplitter, repr=False)

    @property
    def passed_tokens(self) -> int:
        """About how many tokens of content went by, for a stream that does not get to its own report.

        The shortest piece holds about one token, and what it is wrapped in wraps each of the others too.
        """
        return self._pieces + (self._piece_bytes - self._pieces * self._shortest) // CHARS_PER_TOKEN

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the upstream; return the bytes to pass on now: usually the very same object.

        Raises:
            EventTooLarge: an event is longer than the gateway keeps.
        """
        is_aligned = self._events.is_between_events
        blocks = self._events.feed(chunk)
        if len(blocks) == 1:
            return self._event(blocks[0])  # the chunk itself, when it is one whole event
        passed = [self._event(block) for block in blocks]
        if is_aligned and self._events.is_between_events and all(map(is_, blocks, passed)):
            return chunk
        return b"".join(passed)

    def finish(self) -> bytes:
        """The upstream ended; return held bytes that are still to be passed on.

        An event that lacks nothing but its last line end is given one, since clients drop an event without it. A torn
        event is dropped.
        """
        rest = self._events.rest
        if not rest.strip():
            return self.relay(rest, b"")
        whole = rest + b"\n\n"
        data = parse_event(whole)[1]
        if data == b"[DONE]" or is_json(data):
            return self._event(whole)
        if not self.has_content and rest.lstrip()[:1] in {b"{", b"["}:
            # A JSON body where events were promised: most likely an error, and no client could read it here.
            self.read(b"", rest)
            self.failure = self.failure or "the upstream answered a stream request with a plain body"
            self.is_complete = False
        return b""

    def _event(self, block: bytes) -> bytes:
        name, data = parse_event(block)
        if data:
            self.read(name, data)
        return self.relay(block, data)

    @abstractmethod
    def read(self, name: bytes, data: bytes) -> None:
        """Take note of what one event says; must not raise, whatever the data is."""

    def relay(self, block: bytes, data: bytes) -> bytes:
        """Return what to pass on of an event that was just read; `data` is empty for comments."""
        return block

    @abstractmethod
    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the bytes that end this stream with an error; nothing may follow them, `finish` included."""

    def _count_piece(self, piece: bytes | msgspec.Raw) -> None:
        """Note one piece of content, in whatever it is wrapped."""
        size = len(memoryview(piece))
        self._pieces += 1
        self._piece_bytes += size
        if size < self._shortest or not self._shortest:
            self._shortest = size

    def _fail(self, message: str, status: int) -> None:
        """Note an error event of the upstream: it ends the stream."""
        self.failure = message
        self.failure_status = status
        self.is_complete = True

    def _decode(self, decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
        """Return what is of interest in an event, None when it is empty, JSON of another shape, or no JSON at all.

        Only the last is a failure: clients raise on it. It is passed on all the same, since leaving it out would hide
        a loss; and it ends nothing, since the rest may still come.
        """
        if not data:
            return None
        try:
            return decode(decoder, data)
        except msgspec.ValidationError:
            return None
        except (ValueError, RecursionError):
            self.failure = self.failure or "malformed event in the stream"
            return None


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
    #: What stands after the colon in paths that carry the model.
    methods: ClassVar[Collection[str]] = ()
    #: Bytes that the format's SDKs take for nothing, sent between events in long silences; b"" = never.
    heartbeat: ClassVar[bytes] = b""
    #: Where the format's SDKs look for the request id, beside the `x-request-id` that every answer carries.
    request_id_header: ClassVar[bytes] = b"x-request-id"
    #: Where the format says how many milliseconds the answer took; b"" = nowhere.
    duration_header: ClassVar[bytes] = b""
    #: Clients may send their key as `?key=`.
    takes_key_in_query: ClassVar[bool] = False
    #: Requests are forms, which are forwarded as they arrive (`Upload`); `read_request` never sees them.
    takes_form: ClassVar[bool] = False

    #: Where a request says how many tokens its answer may have at most; the first is where it is said for one that
    #: does not. And where it says how many answers it wants.
    output_limits: ClassVar[Sequence[tuple[str, ...]]] = ()
    choice_counts: ClassVar[Sequence[tuple[str, ...]]] = ()
    #: Where it says how many of those tokens come before anything that the client wanted to read.
    output_floors: ClassVar[Sequence[tuple[str, ...]]] = ()
    #: Members of a request that stand for input which the upstream keeps, and how its JSON says that a document is
    #: linked, or so packed that its text cannot be told from its bytes: how long such input is, nobody here knows.
    kept_input: ClassVar[Sequence[str]] = ()
    unread_input: ClassVar[Sequence[bytes]] = ()
    #: What operations that are no conversation answer is made of tokens, too.
    has_output: ClassVar[bool] = True
    #: Beside conversations: text is asked and answered, so that tokens which the upstream does not count are estimated.
    is_text: ClassVar[bool] = False

    def speaks(self, headers: Mapping[bytes, bytes], path: str) -> bool:
        """Whether the headers (lower case) show a client of this format, where the path alone does not say."""
        return False

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

    def write_request(self, body: bytes, asked: Asked, model: str) -> bytes:
        """Return the body for an upstream: the same bytes but for the model name and a usage request where needed.

        `asked` is what `read_request` made of this body. When nothing changes, the very same object is returned.
        """
        # Also when the name stays: a body that names two models must not reach an upstream that takes the other one.
        return splice(body, asked.members, {"model": msgspec.json.encode(model)})

    @abstractmethod
    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer.

        Raises:
            ValueError: the body is not what the format promises (not JSON, or an error inside a 200).
        """

    def accept(self, asked: Asked) -> str:
        """Return the types of answers that an upstream is asked for."""
        return "text/event-stream" if asked.is_stream else "application/json"

    def reads_as(self, asked: Asked, content_type: bytes) -> Reading:
        """Return how an answer of that type is read."""
        return "events" if asked.is_stream else "whole"

    def mend_answer(self, asked: Asked, body: bytes) -> bytes:
        """Return a whole answer as this client can read it: the very same object, unless the upstream fell short."""
        return body

    def stream_type(self, asked: Asked) -> bytes:
        """Return the content type of a stream that answers this request."""
        return b"text/event-stream; charset=utf-8"

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader for one stream that answers this request.

        Raises:
            NotImplementedError: the format has no streams.
        """
        raise NotImplementedError(self.name)

    def error_reply(self, error: GatewayError, request_id: str) -> ErrorReply:
        """Return an error answer that the format's SDKs turn into the right exception class.

        The headers are those that say something of the error; `x-request-id` and the like are on every answer.
        """
        status, body = self.error_body(error, request_id)
        if error.raw_body is not None:
            status, body = error.status, error.raw_body
        headers = list(error.headers)
        if self.request_id_header != b"x-request-id":
            headers.append((self.request_id_header, request_id.encode()))
        if error.retry_after_s is not None:
            wait_s = max(error.retry_after_s, 0.0)
            headers.append((b"retry-after", b"%d" % math.ceil(wait_s)))
            headers.append((b"retry-after-ms", b"%d" % math.ceil(wait_s * 1000)))
        headers.append((b"x-should-retry", b"true" if error.is_worth_a_wait else b"false"))
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="routex"'))
        return ErrorReply(status, body, headers)

    def limit_headers(
        self, requests: Allowance | None, tokens: Allowance | None, now_s: float
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Return what clients of the format are told of the limits that count for them; most know no such headers."""
        return ()

    @abstractmethod
    def error_body(self, error: GatewayError, request_id: str) -> tuple[int, bytes]:
        """Return the status and body of an error in this format's words."""

    def model_list(self, models: Sequence[str], created_s: int, query: Mapping[str, str] = NO_QUERY) -> bytes:
        """Return the body of this format's model listing, or of the page that the query asks for.

        Raises:
            BadRequest: the query asks for no page.
            NotImplementedError: the format has no listing.
        """
        raise NotImplementedError(self.name)

    def model_card(self, model: str, created_s: int) -> bytes:
        """Return the body that describes one model; formats without a listing raise NotImplementedError."""
        raise NotImplementedError(self.name)
