"""One request translated to one upstream and its answer back: decode, fit, encode; then decode, restore, encode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_target

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.answers import Collector
from routing.engine.codec import ClientCodec, Exchange, StreamDecoder, StreamEncoder, UpstreamCodec, Written
from routing.engine.errors import GatewayError
from routing.engine.failures import ErrorInside, error_of, told_id, waits_of
from routing.engine.fitting import fit
from routing.engine.format import CHARS_PER_TOKEN, StreamReader
from routing.engine.memory import Noting
from routing.engine.messages import (
    Began,
    ChatAnswer,
    Choice,
    Ended,
    Failed,
    Finished,
    Part,
    PartMade,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.tokens import count_parts, count_request
from routing.engine.transformer import Chain, changed, merged

#: Events that show something to the client: with the first of them the answer is committed.
_CONTENT = (TextDelta, ReasoningDelta, ReasoningState, ToolBegan, PartMade)


_NO_CHAIN = Chain()
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Translation:
    """A client's format, an upstream's, and the exchange between them."""

    client: ClientCodec
    upstream: UpstreamCodec
    exchange: Exchange
    chain: Chain = field(default_factory=Chain)

    def write(self) -> Written:
        """Return the request for the upstream.

        Raises:
            BadRequest: something in it has no place there and must not be changed silently.
        """
        exchange = self.exchange
        self._change()
        fit(exchange, self.upstream)
        written = self.upstream.encode_request(exchange)
        if exchange.request.extra:
            written.body = merged(written.body, exchange.request.extra)
        return written

    def write_count(self) -> Written:
        """Return the request that counts the conversation's tokens; raises as `write` does."""
        self._change()
        fit(self.exchange, self.upstream)
        return self.upstream.encode_count_request(self.exchange)

    def _change(self) -> None:
        exchange = self.exchange
        if self.chain:
            exchange.target = replace_target(exchange.target, capabilities=self.chain.can(exchange.target.capabilities))
            exchange.request = self.chain.request(exchange.request, exchange.losses)

    def read(self, body: bytes) -> ChatAnswer:
        """Return a whole answer in the client's own names; one that came as a stream is collected first.

        Raises:
            ValueError: see the contract of `decode_answer`.
        """
        body = body.removeprefix(_BOM)
        if looks_streamed(body):
            return self._collected(body)
        return self.chain.answer(restored(self.upstream.decode_answer(body, self.exchange), self.exchange))

    def _collected(self, body: bytes) -> ChatAnswer:
        decoder = self.upstream.stream_decoder(self.exchange)
        collector, telling = Collector(), self.told()
        collector.take(telling.tell(decoder.feed(body)))
        collector.take(telling.tell(decoder.finish()))
        if (failed := collector.failure) is not None:
            raise ErrorInside(failed.status, failed.message, failed.code)
        if not collector.is_complete:
            raise ValueError("the stream ended before its end")
        return collector.answer()

    def told(self) -> Telling:
        """Return what turns one stream's decoded events into those for the client."""
        return Telling(self.exchange, self.chain)

    def tell(self, answer: ChatAnswer) -> bytes:
        """Return a whole answer in the client's format; usage that the upstream left out is estimated."""
        if answer.usage is None:
            answer = replace(answer, usage=_estimated(self.exchange, answer))
        return self.client.encode_answer(answer, self.exchange)

    def failure(self, status: int, body: bytes, headers: Mapping[bytes, bytes]) -> GatewayError:
        """Return an upstream's error answer as an error that any format can tell."""
        said = self.upstream.decode_error(body, waits_of(status, headers))
        error = error_of(status, said.message, said.code or said.kind)
        if said.retry_after_s is not None:
            error.retry_after_s = said.retry_after_s
        error.headers = told_id(headers.items())
        return error


def _estimated(exchange: Exchange, answer: ChatAnswer) -> Usage:
    parts = [part for choice in answer.choices for part in choice.parts]
    return Usage(
        input_tokens=exchange.input_tokens or count_request(exchange.request),
        output_tokens=count_parts(parts),
        reasoning_tokens=count_parts(part for part in parts if isinstance(part, Reasoning)),
        is_estimated=True,
    )


def looks_streamed(body: bytes) -> bool:
    """Whether a body that should be whole is server-sent events."""
    return body.lstrip()[:6].startswith((b"data:", b"event:", b":", b"id:"))


def restored(answer: ChatAnswer, exchange: Exchange) -> ChatAnswer:
    """Return an answer with the client's own tool names, and its free-text tools as it declared them."""
    choices = tuple([_restored_choice(choice, exchange) for choice in answer.choices])
    return answer if choices == answer.choices else replace(answer, choices=choices)


def _restored_choice(choice: Choice, exchange: Exchange) -> Choice:
    if not any(isinstance(part, ToolCall) for part in choice.parts):
        return choice
    return replace(choice, parts=tuple(_restored_part(part, exchange) for part in choice.parts))


def _restored_part(part: Part, exchange: Exchange) -> Part:
    if not isinstance(part, ToolCall):
        return part
    name = exchange.names.restore(part.name)
    if exchange.names.is_custom(name) and not part.is_custom:
        return replace(part, name=name, is_custom=True, arguments=free_text(part.arguments))
    return part if name == part.name else replace(part, name=name)


def free_text(arguments: str) -> str:
    """Return the `input` of arguments that stand for a free text; the arguments themselves when they are not such."""
    try:
        return msgspec.json.decode(arguments, type=_FreeText).input
    except ValueError:
        return arguments


class _FreeText(msgspec.Struct):
    input: str


class Telling:
    """The same for events: names are put back; a free text is told when it is whole, for it comes in JSON escapes.

    Then the chain's changes.
    """

    def __init__(self, exchange: Exchange, chain: Chain = _NO_CHAIN) -> None:
        self._names = exchange.names
        self._changes = chain.stream()
        self._held: dict[tuple[int, int], list[str]] = {}

    def tell(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Return the events for the client."""
        told = self._restore(events)
        return changed(told, self._changes) if self._changes else told

    def _restore(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        told: list[StreamEvent] = []
        for event in events:
            if isinstance(event, ToolBegan):
                told.append(self._began(event))
            elif isinstance(event, ToolDelta) and (event.choice, event.call) in self._held:
                self._held[event.choice, event.call].append(event.text)
            elif self._held and isinstance(event, ToolEnded | Finished | Ended):
                self._release(event, told)
                told.append(event)
            else:
                told.append(event)
        return told

    def _began(self, event: ToolBegan) -> ToolBegan:
        name = self._names.restore(event.name)
        if self._names.is_custom(name) and not event.is_custom:
            self._held[event.choice, event.call] = []
            return replace(event, name=name, is_custom=True)
        return event if name == event.name else replace(event, name=name)

    def _release(self, event: ToolEnded | Finished | Ended, told: list[StreamEvent]) -> None:
        for choice, call in list(self._held):
            if isinstance(event, ToolEnded) and (choice, call) != (event.choice, event.call):
                continue
            if isinstance(event, Finished) and choice != event.choice:
                continue
            text = free_text("".join(self._held.pop((choice, call))))
            if text:
                told.append(ToolDelta(call, text, choice))


@dataclass(slots=True)
class TranslatingReader(StreamReader):
    """Follows one translated stream: upstream bytes in, client bytes out."""

    decoder: StreamDecoder = field(kw_only=True)
    encoder: StreamEncoder = field(kw_only=True)
    telling: Telling = field(kw_only=True)
    request_id: str = field(kw_only=True, default="")
    noting: Noting | None = field(kw_only=True, default=None)
    _told_chars: int = field(default=0, init=False)

    @property
    def passed_tokens(self) -> int:
        """About how many tokens of content went by."""
        return self._told_chars // CHARS_PER_TOKEN

    def feed(self, chunk: bytes) -> bytes:
        """Return the client's bytes for the events that this chunk completes; see the contract."""
        return b"" if self.is_complete else self._tell(self.decoder.feed(chunk))

    def finish(self) -> bytes:
        """Return what was held back; `is_complete` tells whether the upstream's stream was whole."""
        return b"" if self.is_complete else self._tell(self.decoder.finish())

    def _tell(self, events: list[StreamEvent]) -> bytes:
        told: list[bytes] = []
        for event in self.telling.tell(events):
            if isinstance(event, Failed):
                # The client hears it in its own grammar, and nothing may follow.
                self.error = error_of(event.status, event.message, event.code)
                self._fail(event.message, event.status or self.error.status)
                told.append(self.encoder.fail(self.error, self.request_id))
                break
            self._note(event)
            if self.is_complete and self.usage is None:
                told.append(self.encoder.encode(UsageReport(self._estimate())))
            told.append(self.encoder.encode(event))
        return b"".join(told)

    def _estimate(self) -> Usage:
        """Return about what a stream used whose upstream did not say: the client's SDK counts on numbers."""
        return Usage(
            input_tokens=self.encoder.exchange.input_tokens, output_tokens=self.passed_tokens, is_estimated=True
        )

    def _note(self, event: StreamEvent) -> None:
        if self.noting is not None:
            self.noting.take(event)
        if isinstance(event, _CONTENT):
            self.has_content = True
            if isinstance(event, TextDelta | ReasoningDelta):
                self._told_chars += len(event.text)
        elif isinstance(event, ToolDelta):
            self._told_chars += len(event.text)
        elif isinstance(event, UsageReport):
            self.usage = event.usage
        elif isinstance(event, Began):
            self.model = event.model
        elif isinstance(event, Ended):
            self.is_complete = True

    def read(self, name: bytes, data: bytes) -> None:
        """Nothing is read beside the decoder."""

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the bytes that end this stream with an error; see the contract."""
        return self.encoder.fail(error, request_id)
