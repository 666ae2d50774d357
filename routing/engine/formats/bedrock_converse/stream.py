"""Converse streams: frames from messageStart to messageStop, and metadata with the usage after it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.answers import events_of
from routing.engine.codec import Exchange
from routing.engine.eventstream import FrameDecoder
from routing.engine.failures import said_in
from routing.engine.formats.bedrock_converse.claude import issued
from routing.engine.formats.bedrock_converse.response import (
    SERVER_CALL,
    citation_of,
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
    Media,
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
from routing.engine.wirejson import Halves, decode_cut, object_of, text_of


class _Event(msgspec.Struct):
    contentBlockIndex: Any = None  # noqa: N815 - the wire's own name
    delta: Any = None
    start: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_ANY = msgspec.json.Decoder(dict[str, Any])
_CUT = frozenset({("delta", "text"), ("delta", "toolUse", "input"), ("delta", "reasoningContent", "text")})
_UNREADABLE = Failed("The upstream sent an event that cannot be read.", 502)


@dataclass(slots=True)
class _Block:
    """One content block, from its first frame on. Text and thinking begin without a start."""

    kind: str = ""
    #: Number of the call, for one of the client's tools.
    call: int = -1
    has_arguments: bool = False
    halves: Halves = field(default_factory=Halves)
    signature: list[str] = field(default_factory=list)
    #: Base64 of a picture, or of thinking that is not shown.
    blobs: list[str] = field(default_factory=list)
    #: How much text of the answer stood before it.
    before: int = 0
    image_format: str = "png"


class ConverseFrames(FrameDecoder):
    """Follows the open blocks by their index; a thought's signature is told once, when its block ends."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._blocks: dict[int, _Block] = {}
        #: Which of them is no call: of those, one at a time is open.
        self._plain = -1
        self._calls = 0
        self._chars = 0
        self._is_told = False
        self._has_stopped = False

    def read(self, name: str, payload: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one frame; see the contract."""
        if not self._is_told:
            self._is_told = True
            events.append(Began())
        try:
            if name == "contentBlockDelta":
                event = decode_cut(_EVENT, payload, _CUT)
                self._delta(_index(event), object_of(event.delta), events)
            elif name == "contentBlockStart":
                event = decode_cut(_EVENT, payload, _CUT)
                self._start(_index(event), object_of(event.start), events)
            elif name == "contentBlockStop":
                self._stop(_index(decode_cut(_EVENT, payload, _CUT)), events)
            elif name == "messageStop":
                self._message_stop(decode_cut(_ANY, payload, _CUT), events)
            elif name == "metadata":
                self._metadata(decode_cut(_ANY, payload, _CUT), events)
        except (ValueError, RecursionError):
            events.append(_UNREADABLE)

    def read_whole(self, body: bytes, events: list[StreamEvent]) -> None:
        """Append the events of a JSON body: a whole answer, or an error."""
        try:
            events += events_of(decode_answer(body, self.exchange))
        except (ValueError, RecursionError):
            message, code, status = said_in(body)
            events.append(
                Failed(message or "The upstream answered a stream request with something else.", status, code)
            )

    def close(self, events: list[StreamEvent]) -> None:
        """Append `Ended` where the message has stopped: usage may be missing, the answer is whole."""
        if self._has_stopped:
            events.append(Ended())

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _block(self, index: int, kind: str, events: list[StreamEvent]) -> _Block:
        """Return the open block of that index, a new one where it was of another kind."""
        block = self._blocks.get(index)
        if block is not None and block.kind != kind:
            self._stop(index, events)
            block = None
        if block is None:
            self._stop(self._plain, events)
            if kind != "toolUse":
                self._plain = index
            block = self._blocks[index] = _Block(kind, before=self._chars)
        return block

    def _start(self, index: int, start: dict[str, Any], events: list[StreamEvent]) -> None:
        if call := object_of(start.get("toolUse")):
            self._stop(index, events)
            block = self._block(index, "toolUse", events)
            if call.get("type") != SERVER_CALL:
                self._begin_call(block, call, events)
        elif image := object_of(start.get("image")):
            self._block(index, "image", events).image_format = text_of(image.get("format")) or "png"

    def _begin_call(self, block: _Block, call: dict[str, Any], events: list[StreamEvent]) -> None:
        name, request_id = text_of(call.get("name")), self.exchange.request_id
        if not name:
            events.append(Failed("The upstream sent a tool call without a name.", 502))
            return
        block.call = self._calls
        self._calls += 1
        call_id = text_of(call.get("toolUseId")) or mint_id(f"{request_id}.{block.call}" if request_id else "")
        events.append(ToolBegan(block.call, call_id, name))

    def _delta(self, index: int, delta: dict[str, Any], events: list[StreamEvent]) -> None:
        text = delta.get("text")
        if text and isinstance(text, str):
            block = self._block(index, "text", events)
            if text := block.halves.join(text):
                self._chars += len(text)
                events.append(TextDelta(text))
        elif call := object_of(delta.get("toolUse")):
            self._arguments(index, text_of(call.get("input")), events)
        elif reasoning := object_of(delta.get("reasoningContent")):
            self._thought(self._block(index, "reasoning", events), reasoning, events)
        elif citation := object_of(delta.get("citation")):
            block = self._block(index, "text", events)
            events.append(Cited(citation_of(citation, block.before, self._chars)))
        elif image := object_of(delta.get("image")):
            data = text_of(object_of(image.get("source")).get("bytes"))
            self._block(index, "image", events).blobs.append(data)

    def _arguments(self, index: int, text: str, events: list[StreamEvent]) -> None:
        """Read a piece of a call's arguments; an empty one says nothing, not even that there is a call."""
        if not text:
            return
        block = self._blocks.get(index)
        if block is None or block.kind != "toolUse":
            events.append(Failed("The upstream sent arguments of a tool call that it never began.", 502))
        elif block.call >= 0 and (text := block.halves.join(text)):
            block.has_arguments = True
            events.append(ToolDelta(block.call, text))

    @staticmethod
    def _thought(block: _Block, said: dict[str, Any], events: list[StreamEvent]) -> None:
        if text := block.halves.join(text_of(said.get("text"))):
            events.append(ReasoningDelta(text))
        if signature := text_of(said.get("signature")):
            block.signature.append(signature)
        if redacted := text_of(said.get("redactedContent")):
            block.blobs.append(redacted)

    def _stop(self, index: int, events: list[StreamEvent]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if index == self._plain:
            self._plain = -1
        if block.kind == "toolUse" and block.call >= 0:
            if rest := block.halves.rest() or ("" if block.has_arguments else "{}"):
                events.append(ToolDelta(block.call, rest))
            events.append(ToolEnded(block.call))
        elif block.kind == "text":
            if half := block.halves.rest():
                events.append(TextDelta(half))
            events.append(PartEnded())
        elif block.kind == "reasoning":
            self._end_thought(block, events)
        elif block.kind == "image" and (data := _joined_base64(block.blobs)):
            events.append(PartMade(Media("image", f"image/{block.image_format}", data=data)))

    def _end_thought(self, block: _Block, events: list[StreamEvent]) -> None:
        if half := block.halves.rest():
            events.append(ReasoningDelta(half))
        if block.blobs:
            state = issued(_joined_base64(block.blobs), self.exchange, "redacted")
            events.append(ReasoningState(state, is_redacted=True))
        elif block.signature:
            events.append(ReasoningState(issued("".join(block.signature), self.exchange)))
        else:
            events.append(PartEnded())

    # --- the end ----------------------------------------------------------------------------------------------------

    def _message_stop(self, said: dict[str, Any], events: list[StreamEvent]) -> None:
        if self._has_stopped:
            return
        self._has_stopped = True
        for index in list(self._blocks):
            self._stop(index, events)
        events.append(Finished(finish_of(said, self._calls > 0)))

    def _metadata(self, said: dict[str, Any], events: list[StreamEvent]) -> None:
        if (usage := usage_of(said.get("usage"))) is not None:
            events.append(UsageReport(usage))
        if self._has_stopped:
            events.append(Ended())


def _index(event: _Event) -> int:
    """Return a block's index; a missing one is the first."""
    index = event.contentBlockIndex
    return index if isinstance(index, int) and index >= 0 else 0


def _joined_base64(pieces: list[str]) -> str:
    """Return base64 that was encoded piece by piece as one, "" where a piece is none; a single one stays as it is."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece, validate=True) for piece in pieces)).decode()
    except (binascii.Error, ValueError):
        return ""
