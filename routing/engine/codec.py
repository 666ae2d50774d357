"""The contract of translation: a format decodes into the canonical conversation and encodes out of it.

A request goes client format → `ChatRequest` → upstream format, its answer the other way. `ClientCodec` is what a
format must do to be spoken by clients, `UpstreamCodec` to be spoken to upstreams; no implementation knows another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from channels_app.engine.capabilities import Capabilities
from routing.engine.errors import GatewayError
from routing.engine.losses import Losses
from routing.engine.messages import ChatAnswer, ChatRequest, Opaque, Origin, StreamEvent
from routing.engine.provenance import family
from routing.engine.sse import EventSplitter, parse_event
from routing.engine.toolnames import ToolNames


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream that a request is written for."""

    #: The upstream's format, provider, channel id and model name there.
    format: str
    provider: str
    account: str
    model: str
    capabilities: Capabilities

    def origin(self) -> Origin:
        """Return where artefacts of its answers come from."""
        return Origin(self.format, self.provider, self.account, family(self.model))


@dataclass(slots=True)
class Exchange:
    """One request on its way to one upstream and back: what both directions must agree on."""

    request: ChatRequest
    target: Target
    #: Our id of the request, for answers and errors that need one.
    request_id: str = ""
    #: What the way there could not carry; `answer_losses` is the same for the way back.
    losses: Losses = field(default_factory=Losses)
    answer_losses: Losses = field(default_factory=Losses)
    #: Filled by `fitting.fit`, read when the answer is told in the client's own names.
    names: ToolNames = field(default_factory=ToolNames)
    #: The client reads a stream as events rather than as one JSON array (Gemini without `alt=sse`).
    wants_sse: bool = True
    #: About how many tokens the request's input has, 0 where nobody has reckoned: told until the upstream counts.
    input_tokens: int = 0

    def issued(self, blob: str, place: str = "") -> Opaque:
        """Return an artefact of this upstream's answer with its origin."""
        return Opaque(blob, self.target.origin(), place)


@dataclass(slots=True)
class Written:
    """A request as an upstream format writes it: `body` is JSON-able."""

    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class UpstreamFailure:
    """What an upstream's error answer says, in nobody's words: `code` and `kind` are the upstream's own."""

    message: str = ""
    code: str = ""
    kind: str = ""
    retry_after_s: float | None = None


class StreamDecoder(ABC):
    """Turns an upstream's bytes into events; any cut of the bytes gives the same events.

    Never raises on what the bytes say: a broken event becomes `Failed`. `finish` is called once, at the end of the
    bytes; whether the stream was whole is told by `Ended` having been among the events.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @abstractmethod
    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that this chunk completes.

        Raises:
            EventTooLarge: an event is longer than the gateway keeps.
        """

    @abstractmethod
    def finish(self) -> list[StreamEvent]:
        """Return the events that were held back, and `Ended` when the stream was whole."""


class SSEDecoder(StreamDecoder):
    """A decoder of server-sent events: splits them, hands each to `read`."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that this chunk completes; see the contract."""
        events: list[StreamEvent] = []
        for block in self._splitter.feed(chunk):
            name, data = parse_event(block)
            if data:
                self.read(name, data, events)
            elif block.lstrip()[:1] in {b"{", b"["}:
                self.read(b"", block.strip(), events)  # a plain body that happens to end in a blank line
        return events

    def finish(self) -> list[StreamEvent]:
        """Return what an event without its last line end says, and what `close` adds."""
        events: list[StreamEvent] = []
        rest = self._splitter.rest
        if rest.strip():
            name, data = parse_event(rest + b"\n\n")
            if data or rest.lstrip()[:1] in {b"{", b"["}:
                self.read(name, data or rest.strip(), events)
        self.close(events)
        return events

    @abstractmethod
    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one server-sent event; must not raise, whatever the data is."""

    @abstractmethod
    def close(self, events: list[StreamEvent]) -> None:
        """Append what the end of the bytes means: `Ended` when the stream was whole, nothing otherwise."""


class StreamEncoder(ABC):
    """Turns events into a client's bytes."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @abstractmethod
    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes of one event, often none; `Ended` gives everything that is still owed.

        `Failed` never comes here: see `fail`.
        """

    @abstractmethod
    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """Return the bytes that end this stream with an error, so that the format's SDKs raise; nothing may follow.

        Where the grammar wants a beginning first (`message_start`, `response.created`), it is part of the bytes.
        """


class UpstreamCodec(ABC):
    """A format as upstreams speak it.

    `fitting.fit` has brought the request within what `lacks`, `refuses`, `media` and the target's capabilities say
    before `encode_request` sees it: names and ids fit, calls have their results, features without a slot are gone.
    """

    name: ClassVar[str]
    #: Features (fields of ChatRequest, `name` of messages, `detail` of media) that the format has no slot for: dropped
    #: with a warning.
    lacks: ClassVar[frozenset[str]] = frozenset()
    #: Features whose loss would change the answer silently: refused with 400 (`choices`, `logprobs`).
    refuses: ClassVar[frozenset[str]] = frozenset()
    #: Kinds of media that the format can carry; others are refused.
    media: ClassVar[frozenset[str]] = frozenset({"image", "document"})
    #: Of these, the kinds that may be named by URL; others have to be fetched.
    linked: ClassVar[frozenset[str]] = frozenset({"image", "document", "audio", "video"})
    #: Members of a body that mean the same here whatever format the client speaks: they stay in `native`.
    takes: ClassVar[frozenset[str]] = frozenset()
    #: Members of the format that only those of its upstreams know whose `rare_members` name them.
    rare: ClassVar[frozenset[str]] = frozenset()
    #: What it can be told of a web search (fields of `Search`).
    searches: ClassVar[frozenset[str]] = frozenset()
    #: The format that this one is another host's envelope of: its native parts, tools and members are kept.
    issuer: ClassVar[str] = ""

    #: The operation that counts a conversation's tokens; "" where the format has none.
    count_operation: ClassVar[str] = ""

    @abstractmethod
    def operation(self, is_stream: bool) -> str:
        """Return the operation that answers a conversation (`gemini:streamGenerateContent`)."""

    def encode_count_request(self, exchange: Exchange) -> Written:
        """Return the request that counts the exchange's tokens; raises BadRequest as `encode_request` does."""
        raise NotImplementedError(self.name)

    def decode_count(self, body: bytes) -> int:
        """Return the tokens that an upstream counted; raises ValueError where the body does not say."""
        raise NotImplementedError(self.name)

    @abstractmethod
    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request for the exchange's target, and note in `losses` what it cannot carry.

        Only members that the target's capabilities allow are written.

        Raises:
            BadRequest: something that must not be changed silently has no place there (`param` names the client's
                member).
        """

    @abstractmethod
    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer.

        Raises:
            ValueError: the body is not what the format promises: not JSON, or an error inside a 200.
        """

    @abstractmethod
    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder for the stream that answers this exchange."""

    @abstractmethod
    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says; an empty message where it says nothing readable. Never raises."""


class ClientCodec(ABC):
    """A format as clients speak it."""

    name: ClassVar[str]
    #: Our name of a feature → the format's own, where they differ (`top_k` → `topK`).
    spelling: ClassVar[Mapping[str, str]] = {}
    #: Its clients bring back no members that their SDK does not know, so that reasoning state is lost on the way.
    forgets_state: ClassVar[bool] = False
    #: They bring back all that they were told, but a stream has told the slot for a call's state before the call.
    misses_call_state: ClassVar[bool] = False

    @abstractmethod
    def decode_request(self, body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
        """Return the conversation of a request; `model` and `is_stream` where the path says them, not the body.

        Raises:
            BadRequest: the body is not JSON, or something in it is not of the shape that the format gives it
                (`param` is its path, such as `messages[2].content`).
        """

    def recognises(self, body: bytes) -> bool:
        """Return whether a body can be nothing but a request of this format, whatever path it came to. Never raises."""
        return False

    def decode_count_request(self, body: bytes, *, model: str = "") -> ChatRequest:
        """Return the conversation whose tokens are to be counted; raises BadRequest as `decode_request` does."""
        return self.decode_request(body, model=model)

    def encode_count(self, tokens: int) -> bytes:
        """Return the answer to a count."""
        raise NotImplementedError(self.name)

    @abstractmethod
    def encode_answer(self, answer: ChatAnswer, exchange: Exchange) -> bytes:
        """Return the body of a whole answer, every member there that the format's SDKs read."""

    @abstractmethod
    def stream_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return an encoder for the stream that answers this exchange."""
