"""The events of the canonical conversation as the stream that a client reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from analytics.engine.record import Usage
from routing.engine.arguments import Nesting, as_object
from routing.engine.codec import Exchange, StreamEncoder
from routing.engine.errors import GatewayError
from routing.engine.formats.anthropic.ending import said_instead, stop_object
from routing.engine.formats.anthropic.response import (
    call_object,
    citation_object,
    is_redacted,
    is_tellable,
    message_object,
    redacted,
)
from routing.engine.formats.anthropic.vocabulary import error_object, usage_object
from routing.engine.messages import (
    Began,
    Cited,
    Ended,
    Finish,
    Finished,
    Media,
    Opaque,
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
from routing.engine.provenance import wrap

_encode = msgspec.json.Encoder().encode

#: How a delta of each kind of block begins, up to its text.
_DELTAS = {
    "text": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":',
    "thinking": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"thinking_delta","thinking":',
    "tool": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"input_json_delta","partial_json":',
}
_DELTA_END = b"}}\n\n"
#: Events that make blocks of their own, or add to them.
_SPOKEN = (TextDelta, ReasoningDelta, ReasoningState, PartEnded, Cited, PartMade)


def _event(name: str, **members: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode({"type": name, **members}))


@dataclass(slots=True)
class _Call:
    """A call of a client's tool that is open, or waits for the one before it."""

    began: ToolBegan
    nesting: Nesting = field(default_factory=Nesting)
    #: What came of its arguments while it waited, or all of them when they are no object.
    held: list[str] = field(default_factory=list)
    has_begun: bool = False
    is_odd: bool = False
    has_ended: bool = False

    @property
    def is_whole(self) -> bool:
        return self.has_ended or self.nesting.is_closed


class AnthropicEncoder(StreamEncoder):
    """Writes blocks one after another; a call that begins while another is open waits until that is whole."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._has_begun = False
        #: The kind of the open block, "" for none, and its number or the next one's.
        self._kind = ""
        self._index = 0
        self._head = b""
        #: The part of the open thinking that is being told; it has ended but for its signature.
        self._part = 0
        self._is_thought_over = False
        #: The call's state that was told last, by the thinking before the call or by a block of its own.
        self._lent: Opaque | None = None
        #: The last thinking was told without any state.
        self._is_unsigned = False
        self._call: _Call | None = None
        self._waiting: dict[int, _Call] = {}
        #: What was said while the arguments of a call were still coming.
        self._beside: list[StreamEvent] = []
        self._has_calls = False
        self._is_refusal = False
        self._finish = Finish("stop")
        self._usage = Usage()

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes of one event; see the contract."""
        writer = self._WRITERS.get(type(event))
        if writer is None or getattr(event, "choice", False):
            return b""
        if self._call is not None and isinstance(event, _SPOKEN) and self._is_calling:
            self._beside.append(event)
            return b""
        told = writer(self, event)
        return told if not self._beside or self._is_calling else told + self._tell_beside()

    @property
    def _is_calling(self) -> bool:
        """Whether arguments have begun and are not whole: no other block may come between them."""
        calls = (self._call, *self._waiting.values())
        return any(call is not None and not call.is_whole and (call.has_begun or call.held) for call in calls)

    def _tell_beside(self) -> bytes:
        beside, self._beside = self._beside, []
        return b"".join([self._WRITERS[type(event)](self, event) for event in beside])

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """Return message_start where it is still owed, and the `error` event on which the SDKs raise."""
        return self._begin() + b"event: error\ndata: " + _encode(error_object(error, request_id)) + b"\n\n"

    def _begin(self, usage: Usage | None = None) -> bytes:
        """Return message_start where it is still owed: with the upstream's count of the input, or an estimate."""
        if self._has_begun:
            return b""
        self._has_begun = True
        known = usage if usage is not None and usage.input_tokens else Usage(input_tokens=self.exchange.input_tokens)
        return _event("message_start", message=message_object(self.exchange, usage=known))

    # --- blocks ----------------------------------------------------------------------------------------------------

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        """Return the start of the next block; nothing is open."""
        self._kind = kind
        self._head = _DELTAS[kind] % self._index
        return self._begin() + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, text: str) -> bytes:
        return self._head + _encode(text) + _DELTA_END

    def _close(self, lent: Opaque | None = None) -> bytes:
        """Return the end of the open block; thinking without a state is signed with the one lent, or with our mark."""
        if not self._kind:
            return b""
        rest = b""
        if self._kind == "thinking":
            self._is_unsigned = lent is None
            rest = self._signature(lent or self.exchange.issued(""))
        elif self._call is not None and self._call.held:
            rest = self._odd(self._call)
        self._kind, self._is_thought_over, self._call = "", False, None
        self._index += 1
        return rest + _event("content_block_stop", index=self._index - 1)

    def _signature(self, state: Opaque) -> bytes:
        delta = {"type": "signature_delta", "signature": wrap(state)}
        return _event("content_block_delta", index=self._index, delta=delta)

    def _whole(self, block: dict[str, Any]) -> bytes:
        """Return a block that comes in one piece; only its input, where it has one, is told as a delta."""
        given = block.get("input")
        told = self._begin()
        start = {**block, "input": {}} if given else block
        told += _event("content_block_start", index=self._index, content_block=start)
        if given:
            delta = {"type": "input_json_delta", "partial_json": _encode(given).decode()}
            told += _event("content_block_delta", index=self._index, delta=delta)
        self._index += 1
        return told + _event("content_block_stop", index=self._index - 1)

    def _end_all(self) -> bytes:
        """Return the end of what is open, and the calls that waited for it."""
        told = self._close()
        while self._waiting:
            told += self._release() + self._close()
        return told

    # --- text and thinking -----------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        self._is_refusal = self._is_refusal or event.is_refusal
        if self._kind == "text":
            return self._head + _encode(event.text) + _DELTA_END
        return self._end_all() + self._open("text", {"type": "text", "text": ""}) + self._delta(event.text)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if not event.text:
            return b""
        if self._kind == "thinking" and not self._is_thought_over:
            gap = "\n\n" if event.part != self._part else ""
            self._part = event.part
            return self._delta(gap + event.text)
        self._part = event.part
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._end_all() + self._open("thinking", block) + self._delta(event.text)

    def _reasoning_state(self, event: ReasoningState) -> bytes:
        if self._kind == "thinking" and not self._is_thought_over:
            return self._close(event.state)
        told = self._end_all()
        if is_redacted(event.state, event.is_redacted):
            return told + self._whole(redacted(event.state))
        told += self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return told + self._close(event.state)

    def _part_ended(self, event: PartEnded) -> bytes:
        if self._kind == "thinking":
            # Its signature waits for the next event: a call may lend its own.
            self._is_thought_over = True
        return self._close() if self._kind == "text" else b""

    def _cited(self, event: Cited) -> bytes:
        if self._kind != "text":
            self.exchange.answer_losses.dropped("citations")
            return b""
        citation = citation_object(event.citation, self.exchange)
        if citation is None:
            return b""
        delta = {"type": "citations_delta", "citation": citation}
        return _event("content_block_delta", index=self._index, delta=delta)

    def _part_made(self, event: PartMade) -> bytes:
        part = event.part
        if not is_tellable(part, self.exchange):
            return b""
        if isinstance(part, Media):
            return self._end_all() + self._whole({"type": "text", "text": f"![]({part.url})"})
        return self._end_all() + self._whole(part.value)

    # --- calls -----------------------------------------------------------------------------------------------------

    def _tool_began(self, event: ToolBegan) -> bytes:
        self._has_calls = True
        call = _Call(event)
        if self._call is not None and not self._call.is_whole:
            self._waiting[event.call] = call
            return b""
        return self._open_call(call)

    def _open_call(self, call: _Call) -> bytes:
        state = call.began.state
        if self._kind == "thinking":
            self._lent = state
        told = self._close(state)
        if state is not None and state != self._lent and not self._is_unsigned:
            # No thinking before it could carry it. One that was told before the state was known is shown all the same.
            self._lent = state
            told += self._whole(redacted(state))
        told += self._open("tool", call_object(call.began, self.exchange))
        self._call = call
        return told

    def _tool_delta(self, event: ToolDelta) -> bytes:
        call = self._call
        if call is not None and call.began.call == event.call:
            return self._arguments(call, event.text)
        waiting = self._waiting.get(event.call)
        if waiting is None or waiting.is_whole:
            self._lose(event.text)
        else:
            waiting.held.append(event.text)
            waiting.nesting.feed(event.text)
        return b""

    def _arguments(self, call: _Call, text: str) -> bytes:
        if not text or call.is_whole:
            # What follows a whole value would make the SDKs fail on all of it.
            self._lose(text)
            return b""
        call.nesting.feed(text)
        told = self._fragment(call, text)
        return told + self._release() if call.is_whole and self._waiting else told

    def _fragment(self, call: _Call, text: str) -> bytes:
        if not call.has_begun:
            text = text.lstrip()
            if not text:
                return b""
            call.has_begun, call.is_odd = True, not text.startswith("{")
        if call.is_odd:
            call.held.append(text)
        return b"" if call.is_odd else self._delta(text)

    def _odd(self, call: _Call) -> bytes:
        """Return arguments that are no object as one: the SDKs raise on anything else."""
        given, is_faithful = as_object("".join(call.held))
        if not is_faithful:
            self.exchange.answer_losses.emulated("tool_arguments")
        return self._delta(_encode(given).decode()) if given else b""

    def _lose(self, text: str) -> None:
        if text.strip():
            self.exchange.answer_losses.dropped("tool_arguments")

    def _tool_ended(self, event: ToolEnded) -> bytes:
        call = self._call
        if call is not None and call.began.call == event.call:
            return self._close() + (self._release() if self._waiting else b"")
        if (waiting := self._waiting.get(event.call)) is not None:
            waiting.has_ended = True
        return b""

    def _release(self) -> bytes:
        """Return the calls that waited, up to the first that is not whole: that one stays open."""
        told = b""
        while self._waiting and (self._call is None or self._call.is_whole):
            call = self._waiting.pop(next(iter(self._waiting)))
            told += self._open_call(call)
            text = "".join(call.held)
            call.held.clear()
            told += self._fragment(call, text)
            if call.has_ended:
                told += self._close()
        return told

    # --- the end ---------------------------------------------------------------------------------------------------

    def _began(self, event: Began) -> bytes:
        return self._begin(event.usage)

    def _note_usage(self, event: UsageReport) -> bytes:
        self._usage = event.usage
        return b""

    def _note_finish(self, event: Finished) -> bytes:
        self._finish = event.finish
        return b""

    def _ended(self, event: Ended) -> bytes:
        told = self._begin() + self._end_all() + self._tell_beside() + self._close()
        if not self._index and (instead := said_instead(self._finish)):
            told += self._text(TextDelta(instead)) + self._close()
        stop = stop_object(self._finish, self.exchange, has_calls=self._has_calls, is_refusal=self._is_refusal)
        told += _event("message_delta", delta=stop, usage=usage_object(self._usage))
        return told + _event("message_stop")

    _WRITERS: ClassVar[dict[type, Callable[[Any, Any], bytes]]] = {
        TextDelta: _text,
        ReasoningDelta: _reasoning,
        ToolDelta: _tool_delta,
        Began: _began,
        ReasoningState: _reasoning_state,
        PartEnded: _part_ended,
        Cited: _cited,
        PartMade: _part_made,
        ToolBegan: _tool_began,
        ToolEnded: _tool_ended,
        UsageReport: _note_usage,
        Finished: _note_finish,
        Ended: _ended,
    }
