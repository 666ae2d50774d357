"""Chat streams: named events from message-start to message-end."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.answers import events_of
from routing.engine.codec import Exchange, SSEDecoder
from routing.engine.failures import said_in
from routing.engine.formats.cohere.response import (
    FAILURES,
    arguments_of,
    citations_of,
    decode_answer,
    finish_of,
    usage_of,
)
from routing.engine.messages import (
    Began,
    Cited,
    Ended,
    Failed,
    Finished,
    PartEnded,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import Halves, decode_cut, list_of, object_of, text_of


class _Delta(msgspec.Struct):
    message: Any = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    id: Any = None
    index: Any = None
    delta: _Delta | None = None
    message: Any = None
    finish_reason: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_CUT = frozenset(
    {
        ("delta", "message", "content", "text"),
        ("delta", "message", "content", "thinking"),
        ("delta", "message", "tool_plan"),
        ("delta", "message", "tool_calls", "function", "arguments"),
    }
)
_PLAN = "plan"


class ChatEvents(SSEDecoder):
    """Follows what is open: a plan, a block of text or thinking, calls by their index.

    A block of text stays open until another begins, since its citations may come after its own end.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._halves = Halves()
        self._call_halves: dict[int, Halves] = {}
        self._is_told = False
        self._is_over = False
        #: The plan or the number of the block that is open, and what it holds.
        self._open: Any = None
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        #: How much text stood before each block.
        self._befores: dict[Any, int] = {_PLAN: 0}
        self._chars = 0
        #: Index of a call → its number and id.
        self._calls: dict[int | str, tuple[int, str]] = {}
        self._count = 0
        #: Calls that have no arguments so far.
        self._bare: set[int] = set()

    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one server-sent event; see the contract."""
        if self._is_over or data == b"[DONE]":
            return
        try:
            event = decode_cut(_EVENT, data, _CUT)
        except (ValueError, RecursionError):
            self._fail(events, "The upstream sent an event that cannot be read.", 502)
            return
        kind = text_of(event.type) or name.decode("latin-1")
        read = _READERS.get(kind)
        if read is not None:
            if not self._is_told:
                self._is_told = True
                events.append(Began(text_of(event.id)))
            read(self, event, events)
        elif kind in {"", "error"}:
            self._read_other(kind, data, event, events)

    def close(self, events: list[StreamEvent]) -> None:
        """Append nothing: the end was told with message-end, or the stream was cut."""

    def _fail(self, events: list[StreamEvent], message: str, status: int, code: str = "") -> None:
        self._is_over = True
        events.append(Failed(message, status, code))

    def _read_other(self, kind: str, data: bytes, event: _Event, events: list[StreamEvent]) -> None:
        """Read what has no type: a whole answer in place of a stream, an error, or nothing that matters."""
        if isinstance(event.message, dict) and event.finish_reason:
            try:
                events += events_of(decode_answer(data))
            except ValueError as error:
                self._fail(events, str(error), 502)
            self._is_over = True
            return
        message, code, status = said_in(data)
        if message or kind:
            self._fail(events, message or "The upstream reported an error.", status, code)

    # --- each kind of event ----------------------------------------------------------------------------------------

    def _begin(self, event: _Event, events: list[StreamEvent]) -> None:
        """Nothing but the beginning itself, which any first event is."""

    def _content(self, event: _Event, events: list[StreamEvent]) -> None:
        """Read the start or a piece of a block."""
        message = event.delta.message if event.delta is not None else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, dict):
            return
        if thinking := text_of(content.get("thinking")):
            self._piece(event.index, ReasoningDelta, thinking, events)
        if text := text_of(content.get("text")):
            self._piece(event.index, TextDelta, text, events)

    def _plan(self, event: _Event, events: list[StreamEvent]) -> None:
        message = object_of(event.delta.message if event.delta is not None else None)
        if plan := text_of(message.get("tool_plan")):
            self._piece(_PLAN, TextDelta, plan, events)

    def _piece(
        self, place: Any, kind: type[TextDelta] | type[ReasoningDelta], text: str, events: list[StreamEvent]
    ) -> None:
        if place != self._open or kind is not self._kind:
            self._close_block(events)
            self._open, self._kind = place, kind
            if isinstance(place, int | str):
                self._befores.setdefault(place, self._chars)
        text = self._halves.join(text)
        if text:
            events.append(kind(text))
            if kind is TextDelta:
                self._chars += len(text)

    def _close_block(self, events: list[StreamEvent]) -> None:
        """End the block that is open: what follows is another, even of the same kind."""
        if self._open is None:
            return
        if half := self._halves.rest():
            events.append(self._kind(half))
        events.append(PartEnded())
        self._open = None

    def _call(self, event: _Event, events: list[StreamEvent]) -> None:
        for call in self._said_calls(event):
            function = object_of(call.get("function"))
            name, call_id = text_of(function.get("name")), text_of(call.get("id"))
            known = self._calls.get(_key(event.index))
            if known is None or (call_id and call_id != known[1]):
                if not name:
                    self._fail(events, "The upstream sent a tool call without a name.", 502)
                    return
                self._close_block(events)
                call_id = call_id or self._minted()
                self._calls[_key(event.index)] = (self._count, call_id)
                events.append(ToolBegan(self._count, call_id, name))
                self._bare.add(self._count)
                self._call_halves[self._count] = Halves()
                self._count += 1
            self._arguments(event, function, events)

    def _more_of_call(self, event: _Event, events: list[StreamEvent]) -> None:
        for call in self._said_calls(event):
            self._arguments(event, object_of(call.get("function")), events)
            if self._is_over:
                return

    @staticmethod
    def _said_calls(event: _Event) -> list[dict[str, Any]]:
        """Return the calls of an event: one object, though the name is plural; a list is read as well."""
        said = object_of(event.delta.message if event.delta is not None else None).get("tool_calls")
        return [said] if isinstance(said, dict) else [object_of(each) for each in list_of(said)]

    def _minted(self) -> str:
        request_id = self.exchange.request_id
        return mint_id(f"{request_id}.{self._count}" if request_id else "")

    def _arguments(self, event: _Event, function: dict[str, Any], events: list[StreamEvent]) -> None:
        arguments = arguments_of(function.get("arguments"))
        if not arguments:
            return
        known = self._calls.get(_key(event.index))
        if known is None:
            self._fail(events, "The upstream sent arguments of a tool call that it never began.", 502)
        elif text := self._call_halves[known[0]].join(arguments):
            self._bare.discard(known[0])
            events.append(ToolDelta(known[0], text))

    def _call_ended(self, event: _Event, events: list[StreamEvent]) -> None:
        known = self._calls.get(_key(event.index))
        if known is not None:
            if half := self._call_halves[known[0]].rest() or ("{}" if known[0] in self._bare else ""):
                events.append(ToolDelta(known[0], half))
            events.append(ToolEnded(known[0]))

    def _cited(self, event: _Event, events: list[StreamEvent]) -> None:
        said = object_of(event.delta.message if event.delta is not None else None).get("citations")
        for citation in [said] if isinstance(said, dict) else list_of(said):
            citation = object_of(citation)
            kind = text_of(citation.get("type"))
            if kind == "THINKING_CONTENT":
                continue
            place = _PLAN if kind == "PLAN" else _key(citation.get("content_index", self._open))
            events += map(Cited, citations_of(citation, self._befores.get(place, 0)))

    def _end(self, event: _Event, events: list[StreamEvent]) -> None:
        delta = event.delta or _Delta()
        word = text_of(delta.finish_reason)
        if word in FAILURES or delta.error:
            message = text_of(delta.error) or f"The upstream ended its answer with {word}."
            self._fail(events, message, FAILURES.get(word, 500), word)
            return
        self._is_over = True
        if half := self._halves.rest():
            events.append(self._kind(half))
        events.append(Finished(finish_of(word, self._count > 0)))
        if (usage := usage_of(delta.usage)) is not None:
            events.append(UsageReport(usage))
        events.append(Ended())


def _key(index: Any) -> int | str:
    """Return an index that can be looked up; a missing one is the first."""
    return index if isinstance(index, int | str) else 0


_READERS = {
    "content-delta": ChatEvents._content,
    "content-start": ChatEvents._content,
    "tool-plan-delta": ChatEvents._plan,
    "tool-call-start": ChatEvents._call,
    "tool-call-delta": ChatEvents._more_of_call,
    "tool-call-end": ChatEvents._call_ended,
    "citation-start": ChatEvents._cited,
    "message-start": ChatEvents._begin,
    "message-end": ChatEvents._end,
}
