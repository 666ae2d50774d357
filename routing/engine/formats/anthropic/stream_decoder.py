"""Upstream streams, and whole answers, as the events of the canonical conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.codec import Exchange, SSEDecoder
from routing.engine.formats.anthropic.ending import finish_of
from routing.engine.formats.anthropic.events import Event, kind_of, objects_in, read_event, read_object, text_in
from routing.engine.formats.anthropic.parts import citation_of
from routing.engine.formats.anthropic.shape import Object
from routing.engine.formats.anthropic.vocabulary import NAME, ErrorObject, UsageCounts, counts_of
from routing.engine.messages import (
    Began,
    Cited,
    Ended,
    Failed,
    Finished,
    Native,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import Halves

Events = list[StreamEvent]

_encode = msgspec.json.Encoder().encode
_HALF = re.compile("[\ud800-\udfff]")
_CALL_MEMBERS = frozenset({"type", "id", "name", "input"})
#: A delta's type → the kind of block it belongs into.
_KINDS = {"text_delta": "text", "citations_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}


@dataclass(slots=True)
class _Block:
    """A content block that is still open."""

    #: text, thinking, tool; anything else is a block that only this format has.
    kind: str
    #: As it was announced.
    said: Object = field(default_factory=dict)
    call: int = 0
    #: Something of it has been told, or of its input has come.
    is_fed: bool = False
    signature: str = ""
    citations: list[Object] = field(default_factory=list)
    #: Where its text begins in the answer's.
    start: int = 0
    #: What came of its members in pieces, by name.
    pieces: dict[str, list[str]] = field(default_factory=dict)
    halves: Halves | None = None


#: Events that are part of a message, so that it has begun.
_INSIDE = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "message_delta"})


class AnthropicDecoder(SSEDecoder):
    """Follows named events from message_start to message_stop."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._has_begun = False
        self._is_over = False
        self._is_last = False
        self._open: dict[int, _Block] = {}
        #: The number of the open block that is no call, of which there is one at a time; −1 for none.
        self._part = -1
        self._next = 0
        self._calls = 0
        self._ids: set[str] = set()
        #: Characters of the answer's text so far.
        self._length = 0
        self._counts = UsageCounts()
        self._has_counts = False
        self._stop: tuple[Any, Any, Any] | None = None

    # --- events ----------------------------------------------------------------------------------------------------

    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one server-sent event; see the contract."""
        if self._is_over or name == b"ping" or data == b"[DONE]":
            return
        event, plain = read_event(data)
        if event is None:
            self._malformed(name, data, events)
            return
        kind = event.type or name.decode("utf-8", "replace")
        if not self._has_begun and kind in _INSIDE:
            self._begin(None, events)  # its message_start comes late, or never
        if kind == "content_block_delta":
            self._delta(event, plain, data, events)
        elif kind == "content_block_start":
            self._start(event.index, event.content_block, events)
        elif kind == "content_block_stop":
            self._end(event.index, events)
        elif kind == "error" or name == b"error" or (event.error and kind in {"", "message_stop"}):
            self._fail(events, *_failure(event.error))
        else:
            self._turn(kind, event, data, events)

    def finish(self) -> list[StreamEvent]:
        """Return the events that were held back; see the contract."""
        self._is_last = True
        return super().finish()

    def _malformed(self, name: bytes, data: bytes, events: Events) -> None:
        """Take an event that is no JSON: a failure, unless it is merely where the bytes broke off."""
        if name == b"error":
            said = "" if data.startswith(b"{") else data.decode("utf-8", "replace")
            self._fail(events, *_failure({"message": said}))
        elif not self._is_last:
            self._fail(events, "malformed event in the stream")

    def _turn(self, kind: str, event: Event, data: bytes, events: Events) -> None:
        """Read what is said about the whole answer."""
        if kind == "message_start":
            self._begin(event.message, events)
        elif kind == "message_delta":
            if event.delta is not None and event.delta.stop_reason is not None:
                self._stop = (event.delta.stop_reason, event.delta.stop_sequence, event.delta.stop_details)
            self._count(event.usage, events)
        elif kind == "message_stop":
            self._count(event.usage, events)
            self._finish(events)
        elif kind in {"message", ""} and not self._has_begun:
            # A whole answer in place of a stream.
            said = read_object(data)
            if isinstance(said.get("content"), str | list) and "stop_reason" in said:
                self.whole(said, events)

    def whole(self, said: Object, events: list[StreamEvent]) -> None:
        """Append the events of a whole answer."""
        self._begin(said, events)
        content = said.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks if isinstance(blocks, list) else ():
            place = self._next
            self._start(place, block, events)
            self._end(place, events)
        self._stop = (said.get("stop_reason"), said.get("stop_sequence"), said.get("stop_details"))
        self._finish(events)

    def close(self, events: list[StreamEvent]) -> None:
        """Append the end where the answer said why it stopped: message_stop adds nothing to that."""
        if not self._is_over and self._stop is not None:
            self._finish(events)

    # --- the whole answer ------------------------------------------------------------------------------------------

    def _begin(self, message: Any, events: Events) -> None:
        said = message if isinstance(message, dict) else {}
        if not self._has_begun:
            self._has_begun = True
            counts = counts_of(said.get("usage"))
            usage = None if counts is None else counts.total()
            events.append(Began(text_in(said.get("id")), text_in(said.get("model")), usage=usage))
        self._count(said.get("usage"), events)

    def _count(self, usage: Any, events: Events) -> None:
        counts = counts_of(usage)
        if counts is not None:
            self._counts = counts.over(self._counts)
            self._has_counts = True
            events.append(UsageReport(self._counts.total()))

    def _finish(self, events: Events) -> None:
        self._begin(None, events)
        for place in list(self._open):
            self._end(place, events)
        self._is_over = True
        events.append(Finished(finish_of(*(self._stop or (None, None, None)), has_calls=self._calls > 0)))
        if self._has_counts:
            events.append(UsageReport(self._counts.total()))
        events.append(Ended())

    def _fail(self, events: Events, message: str, status: int = 0, code: str = "") -> None:
        self._is_over = True
        events.append(Failed(message, status, code))

    # --- blocks ----------------------------------------------------------------------------------------------------

    def _start(self, index: int | None, said: Any, events: Events) -> None:
        self._begin(None, events)
        place = self._next if index is None else abs(index)
        said = said if isinstance(said, dict) else {}
        known = self._open.get(place)
        if known is not None and known.kind == "tool" and not known.is_fed and known.said == said:
            return  # announced twice
        self._make_room(place, events)
        kind = text_in(said.get("type"))
        if kind == "tool_use":
            self._open_call(place, said, events)
        elif kind == "text":
            self._open_as(place, "text").citations += objects_in(said.get("citations"))
            self._tell_text(self._open[place], text_in(said.get("text")), events)
        elif kind == "thinking":
            self._open_as(place, "thinking").signature = text_in(said.get("signature"))
            self._tell_thought(self._open[place], text_in(said.get("thinking")), events)
        elif kind == "redacted_thinking":
            if data := text_in(said.get("data")):
                events.append(ReasoningState(self.exchange.issued(data, "redacted"), is_redacted=True))
            self._next = place + 1
        elif kind:
            self._open_as(place, kind).said = said

    def _make_room(self, place: int, events: Events) -> None:
        """End what the next block ends: the one of the same number, and the one that is no call."""
        self._end(place, events)
        if self._part >= 0:
            self._end(self._part, events)

    def _open_as(self, place: int, kind: str) -> _Block:
        block = self._open[place] = _Block(kind, start=self._length)
        self._next = max(self._next, place + 1)
        if kind != "tool":
            self._part = place
        return block

    def _open_call(self, place: int, said: Object, events: Events) -> None:
        name = text_in(said.get("name"))
        if not name:
            self._fail(events, "the upstream called a tool without a name")
            return
        block = self._open_as(place, "tool")
        block.said, block.call = said, self._calls
        self._calls += 1
        call_id = text_in(said.get("id"))
        if not call_id or call_id in self._ids:
            call_id = mint_id()
        self._ids.add(call_id)
        own = {name: value for name, value in said.items() if name not in _CALL_MEMBERS and value is not None}
        events.append(ToolBegan(block.call, call_id, name, native=own or None))

    def _delta(self, event: Event, plain: Object, data: bytes, events: Events) -> None:
        delta = event.delta
        if delta is None:
            return
        place = abs(event.index) if event.index is not None else max(self._next - 1, 0)
        block = self._open.get(place)
        kind = delta.type or kind_of(delta)
        wanted = _KINDS.get(kind)
        if wanted is not None and (block is None or block.kind != wanted):
            # A delta says by itself what it belongs to, whatever was announced or not.
            self._begin(None, events)
            self._make_room(place, events)
            block = self._open_as(place, wanted)
        if block is None:
            return
        if kind == "text_delta":
            self._tell_text(block, delta.text or "", events)
        elif block.kind == "thinking":
            block.signature = delta.signature or block.signature
            self._tell_thought(block, delta.thinking or "", events)
        elif block.kind == "text":
            block.citations += objects_in([delta.citation])
        elif kind == "input_json_delta":
            self._feed(block, delta.partial_json, events)
        elif block.kind != "tool":
            _grow(block, (plain or read_object(data)).get("delta"))

    def _tell_text(self, block: _Block, text: str, events: Events) -> None:
        text = _joined(block, text)
        if text:
            block.is_fed = True
            self._length += len(text)
            events.append(TextDelta(text))

    def _tell_thought(self, block: _Block, text: str, events: Events) -> None:
        text = _joined(block, text)
        if text:
            block.is_fed = True
            events.append(ReasoningDelta(text))

    def _feed(self, block: _Block, given: Any, events: Events) -> None:
        if given is None or given == "":
            return
        text = given if isinstance(given, str) else _encode(given).decode()
        if block.kind == "tool":
            text = _joined(block, text)
            block.is_fed = True
            if text:
                events.append(ToolDelta(block.call, text))
        else:
            block.pieces.setdefault("input", []).append(text)

    def _end(self, index: int | None, events: Events) -> None:
        place = max(self._next - 1, 0) if index is None else abs(index)
        block = self._open.pop(place, None)
        if block is None:
            return
        if place == self._part:
            self._part = -1
        rest = block.halves.rest() if block.halves is not None else ""
        if block.kind == "text":
            self._end_text(block, rest, events)
        elif block.kind == "thinking":
            self._tell_thought(block, rest, events)
            if block.signature:
                events.append(ReasoningState(self.exchange.issued(block.signature)))
            elif block.is_fed:
                events.append(PartEnded())
        elif block.kind == "tool":
            given = block.said.get("input")
            if not block.is_fed and given:
                self._feed(block, given, events)
            elif rest:
                events.append(ToolDelta(block.call, rest))
            events.append(ToolEnded(block.call))
        else:
            events.append(PartMade(Native(NAME, block.kind, _whole(block))))

    def _end_text(self, block: _Block, rest: str, events: Events) -> None:
        self._tell_text(block, rest, events)
        if not block.is_fed:
            return
        events.extend(Cited(citation_of(said, block.start, self._length)) for said in block.citations)
        events.append(PartEnded())


def _joined(block: _Block, text: str) -> str:
    """Return a delta's text with characters whole; only JSON that had to be read the slow way holds halves."""
    if block.halves is None:
        if text.isascii() or not _HALF.search(text):
            return text
        block.halves = Halves()
    return block.halves.join(text)


def _failure(said: Any) -> tuple[str, int, str]:
    error = ErrorObject(said.get("type"), said.get("message")) if isinstance(said, dict) else ErrorObject(None, said)
    return (*error.failure, text_in(error.type))


def _grow(block: _Block, delta: Any) -> None:
    """Add a delta to a block that only this format has: texts grow, anything else is replaced."""
    for name, value in delta.items() if isinstance(delta, dict) else ():
        if isinstance(value, str) and name != "type":
            block.pieces.setdefault(name, []).append(value)
        elif name != "type" and value is not None:
            block.said[name] = value


def _whole(block: _Block) -> Object:
    """Return a block that only this format has, with what came of it in pieces."""
    said = dict(block.said)
    for name, pieces in block.pieces.items():
        text = "".join(pieces)
        if name == "input":
            found = read_object(text.encode("utf-8", "replace"))
            said[name] = found or said.get(name) or {}
        else:
            said[name] = text_in(said.get(name)) + text
    return said
