"""A client's stream: events of an answer as the named events of Responses, item by item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.codec import Exchange, StreamEncoder
from routing.engine.errors import GatewayError
from routing.engine.formats.openai_responses.citations import annotation_of
from routing.engine.formats.openai_responses.open_items import (
    EventWriter,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
    OpenSearch,
)
from routing.engine.formats.openai_responses.output import (
    Envelope,
    Item,
    full_logprobs,
    image_item,
    native_item,
    status_of,
)
from routing.engine.formats.openai_responses.response import marked
from routing.engine.formats.openai_responses.toolsets import as_declared, is_search_call
from routing.engine.formats.openai_responses.vocabulary import NAME, STATE_OF_CALL, STATE_OF_TEXT, failed_error
from routing.engine.messages import (
    Began,
    Cited,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    Opaque,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    TextState,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.toolnames import mint_id

_encode = msgspec.json.Encoder().encode


class ResponsesEncoder(StreamEncoder):
    """Tells each item from its announcement to its end; text and reasoning one after the other, calls side by side."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._writer = EventWriter()
        self._envelope: Envelope | None = None
        #: Items that are done, by their place in the output, and those to come.
        self._output: dict[int, msgspec.Raw] = {}
        self._next_index = 0
        self._message: OpenMessage | None = None
        self._reasoning: OpenReasoning | None = None
        self._calls: dict[int, OpenCall] = {}
        self._used_ids: set[str] = set()
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        #: Characters of the text whose parts are closed.
        self._chars = 0
        self._tellers: dict[type[StreamEvent], Callable[[Any], bytes]] = {
            TextDelta: self._text,
            ReasoningDelta: self._think,
            ReasoningState: self._keep_state,
            ToolBegan: self._call,
            ToolDelta: self._arguments,
            ToolEnded: self._call_ended,
            PartEnded: self._part_ended,
            TextState: self._text_state,
            Cited: self._cite,
            PartMade: self._whole_part,
            LogprobsDelta: self._logprobs,
            Finished: self._finished,
        }

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes of one event; see the contract."""
        if isinstance(event, UsageReport):
            self._usage = event.usage
            return b""
        if self._envelope is None:
            began = event if isinstance(event, Began) else Began()
            return self._begin(began) + (b"" if event is began else self.encode(event))
        if isinstance(event, Ended):
            return self._end()
        teller = self._tellers.get(type(event))
        if teller is None or getattr(event, "choice", None):
            return b""  # there is one answer here, and it has begun
        return teller(event)

    # --- begin and end ---------------------------------------------------------------------------------------------

    def _begin(self, began: Began) -> bytes:
        self._envelope = Envelope(self.exchange, began.id, began.created_s)
        response = b'"response":' + self._envelope.written("in_progress", [])
        created = self._writer.event(b"response.created", response)
        return created + self._writer.event(b"response.in_progress", response)

    def _finished(self, event: Finished) -> bytes:
        self._finish = event.finish
        is_empty = not self._output and not self._calls and self._message is None and self._reasoning is None
        said = b""
        if is_empty and event.finish.message:
            said = self._text(TextDelta(event.finish.message, is_refusal=event.finish.reason == "filter"))
        return said + self._close_all()

    def _end(self) -> bytes:
        assert self._envelope is not None
        closed = self._close_all()
        status = status_of(self._finish)
        response = self._envelope.written(status, self._done_items(), finish=self._finish, usage=self._usage)
        return closed + self._writer.event(b"response." + status.encode(), b'"response":' + response)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """Return `response.failed`, the one terminal event of a response that began and broke.

        An `error` event would be terminal too, and make the SDKs raise before they hand out the failed response.
        """
        begun = self._begin(Began()) if self._envelope is None else b""
        assert self._envelope is not None
        told = failed_error(error, request_id)
        failed = self._envelope.written("failed", self._done_items(), usage=self._usage, error=told)
        return begun + self._writer.event(b"response.failed", b'"response":' + failed)

    def _done_items(self) -> list[msgspec.Raw]:
        return [self._output[index] for index in sorted(self._output)]

    # --- items -----------------------------------------------------------------------------------------------------

    def _place(self, prefix: str) -> tuple[EventWriter, str, int]:
        """Return what every new item needs: the writer, an id, and the next place in the output."""
        assert self._envelope is not None
        index = self._next_index
        self._next_index += 1
        return self._writer, self._envelope.item_id(prefix) if prefix else "", index

    def _done(self, item: OpenItem, status: str = "completed") -> bytes:
        told, raw = item.done(status)
        self._output[item.index] = raw
        return told

    def _status(self) -> str:
        """Return the status of items that the end of the answer closes."""
        return status_of(self._finish)

    def _close_message(self) -> bytes:
        message, self._message = self._message, None
        if message is None:
            return b""
        self._chars += message.chars
        return self._done(message, self._status())

    def _close_reasoning(self) -> bytes:
        reasoning, self._reasoning = self._reasoning, None
        return b"" if reasoning is None else self._done(reasoning)

    def _close_spoken(self) -> bytes:
        """Close text or reasoning: at most one of them is open."""
        return self._close_message() + self._close_reasoning()

    def _close_all(self) -> bytes:
        closed = [self._close_spoken()]
        closed += [self._done(self._calls.pop(call), self._status()) for call in list(self._calls)]
        return b"".join(closed)

    def _whole_item(self, prefix: str, written: Callable[[str], Item]) -> bytes:
        """Return the events of an item that comes in one piece."""
        writer, item_id, index = self._place(prefix)
        raw = self._output[index] = msgspec.Raw(_encode(written(item_id)))
        members = b'"output_index":%d,"item":%b' % (index, bytes(raw))
        added = writer.event(b"response.output_item.added", members)
        return added + writer.event(b"response.output_item.done", members)

    # --- text ------------------------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        message = self._message
        if message is not None and message.phase == event.phase:
            return message.text(event)
        message, opened = self._open_message(event.phase)
        return opened + message.text(event)

    def _open_message(self, phase: str) -> tuple[OpenMessage, bytes]:
        closed = self._close_spoken()
        self._message = message = OpenMessage(*self._place(OpenMessage.prefix), phase)
        return message, closed + message.added()

    def _part_ended(self, event: PartEnded) -> bytes:
        if self._reasoning is not None:
            # It is closed by what follows: a call may have a state to put into it.
            self._reasoning.has_ended = True
            return self._reasoning.close()
        if self._message is None:
            return b""
        # The message stays open: what follows, if it is text, is its next part.
        self._chars += self._message.chars
        return self._message.close()

    def _cite(self, event: Cited) -> bytes:
        if self._message is None:
            return b""
        annotation = annotation_of(event.citation, self._chars, self._message.chars)
        if annotation is None:
            self.exchange.answer_losses.dropped("citations")
            return b""
        return self._message.annotate(annotation)

    def _logprobs(self, event: LogprobsDelta) -> bytes:
        return b"" if self._message is None else self._message.logprobs(full_logprobs(event.tokens))

    def _text_state(self, event: TextState) -> bytes:
        return self._close_spoken() + self._state_alone(event.state, STATE_OF_TEXT)

    # --- reasoning -------------------------------------------------------------------------------------------------

    def _think(self, event: ReasoningDelta) -> bytes:
        reasoning, opened = self._reasoning, b""
        if not event.text:
            return b""
        if reasoning is None or reasoning.has_ended or reasoning.is_verbatim != event.is_verbatim:
            reasoning, opened = self._open_reasoning(is_verbatim=event.is_verbatim)
        return opened + reasoning.text(event.text, event.part)

    def _open_reasoning(self, *, is_verbatim: bool = False) -> tuple[OpenReasoning, bytes]:
        closed = self._close_spoken()
        place = self._place(OpenReasoning.prefix)
        self._reasoning = reasoning = OpenReasoning(*place, is_verbatim=is_verbatim)
        return reasoning, closed + reasoning.added()

    def _keep_state(self, event: ReasoningState) -> bytes:
        reasoning, opened = self._reasoning, b""
        if reasoning is None or reasoning.has_ended:
            reasoning, opened = self._open_reasoning()
        reasoning.state = marked(event.state, is_redacted=event.is_redacted)
        return opened + self._close_reasoning()

    def _state_alone(self, state: Opaque, place: str) -> bytes:
        """Return a reasoning item that carries another part's state: it is the only slot for one."""
        reasoning, opened = self._reasoning, b""
        if reasoning is None:
            reasoning, opened = self._open_reasoning()
        reasoning.state = replace(state, place=place)
        return opened + self._close_reasoning()

    # --- calls and other parts -------------------------------------------------------------------------------------

    def _call(self, event: ToolBegan) -> bytes:
        before = b"" if event.state is None else self._state_alone(event.state, STATE_OF_CALL)
        before += self._close_spoken()
        call_id = event.id if event.id and event.id not in self._used_ids else mint_id()
        self._used_ids.add(call_id)
        event = as_declared(event, self.exchange)
        prefix = "ctc" if event.is_custom else "fc"
        kind = OpenCall
        if is_search_call(event, self.exchange):
            prefix, kind = "tsc", OpenSearch
        call = self._calls[event.call] = kind(*self._place(prefix), event, call_id)
        return before + call.added()

    def _arguments(self, event: ToolDelta) -> bytes:
        call = self._calls.get(event.call)
        return b"" if call is None else call.more(event.text)

    def _call_ended(self, event: ToolEnded) -> bytes:
        call = self._calls.pop(event.call, None)
        return b"" if call is None else self._done(call)

    def _whole_part(self, event: PartMade) -> bytes:
        part = event.part
        if isinstance(part, Native) and part.format == NAME:
            return self._native(part)
        if isinstance(part, Media) and part.kind == "image" and part.data:
            image = part
            return self._close_spoken() + self._whole_item("ig", lambda item_id: image_item(item_id, image))
        self.exchange.answer_losses.dropped(part.kind)
        return b""

    def _native(self, part: Native) -> bytes:
        if "part" not in part.value:
            return self._close_spoken() + self._whole_item("item", lambda item_id: native_item(item_id, part.value))
        message, opened = self._message, b""
        if message is None:
            message, opened = self._open_message("")
        self._chars += message.chars
        return opened + message.whole_part(part.value["part"])
