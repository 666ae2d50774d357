"""Reasoning state that a client would forget, kept by tool call until the next turn brings the call back.

Some clients drop every member they do not know, and with it the proof that an upstream wants to see again beside its
own tool call. The call's id is the one thing that always comes back.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Finished,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    ToolBegan,
    ToolCall,
)

#: Together they are this many characters at most; the oldest go first. A lost one costs a turn's reasoning, no more.
MAX_CHARS = 32 * 1024 * 1024
#: A single one larger than this is not kept.
MAX_ENTRY_CHARS = 1024 * 1024


class Remembered(msgspec.Struct, frozen=True):
    """What belongs to a tool call: the call's own state, and the reasoning that led to it."""

    state: Opaque | None = None
    reasoning: Reasoning | None = None

    @property
    def size(self) -> int:
        """Return about how many characters it holds."""
        blobs = [self.state, self.reasoning.state if self.reasoning else None]
        texts = self.reasoning.texts if self.reasoning else ()
        return sum(len(blob.blob) for blob in blobs if blob) + sum(map(len, texts))


class StateMemory:
    """One process's memory of all tenants, each behind its own key. What another process has seen is not known here."""

    def __init__(self, max_chars: int = MAX_CHARS) -> None:
        self._max_chars = max_chars
        self._chars = 0
        self._kept: OrderedDict[tuple[str, str], Remembered] = OrderedDict()

    def note(self, tenant_id: str, call_id: str, remembered: Remembered) -> None:
        """Keep what belongs to a tool call."""
        size = remembered.size
        if not call_id or not size or size > MAX_ENTRY_CHARS:
            return
        key = (tenant_id, call_id)
        if (old := self._kept.pop(key, None)) is not None:
            self._chars -= old.size
        self._kept[key] = remembered
        self._chars += size
        while self._chars > self._max_chars:
            self._chars -= self._kept.popitem(last=False)[1].size

    def note_answer(self, tenant_id: str, answer: ChatAnswer) -> None:
        """Keep what belongs to the tool calls of a whole answer."""
        for choice in answer.choices:
            reasoning = next((part for part in choice.parts if isinstance(part, Reasoning)), None)
            for part in choice.parts:
                if isinstance(part, ToolCall):
                    self.note(tenant_id, part.id, Remembered(part.state, reasoning))
                    reasoning = None

    def recall(self, tenant_id: str, request: ChatRequest) -> ChatRequest:
        """Return the request with what its tool calls are known to belong to, where the client did not bring it."""
        if not self._kept:
            return request
        messages = tuple(self._recall(tenant_id, message) for message in request.messages)
        changed = any(new is not old for new, old in zip(messages, request.messages, strict=True))
        return replace(request, messages=messages) if changed else request

    def _recall(self, tenant_id: str, message: Message) -> Message:
        if message.role != "assistant":
            return message
        has_reasoning = any(isinstance(part, Reasoning) for part in message.parts)
        parts: list[Part] = []
        is_changed = False
        for part in message.parts:
            known = self._kept.get((tenant_id, part.id)) if isinstance(part, ToolCall) else None
            if known is None or not isinstance(part, ToolCall):
                parts.append(part)
                continue
            if known.reasoning is not None and not has_reasoning:
                parts.insert(0, known.reasoning)
                has_reasoning = is_changed = True
            if part.state is None and known.state is not None:
                part = replace(part, state=known.state)
                is_changed = True
            parts.append(part)
        return replace(message, parts=tuple(parts)) if is_changed else message


class Noting:
    """Keeps what a stream says about its tool calls, event by event; only the first choice is followed."""

    def __init__(self, memory: StateMemory, tenant_id: str) -> None:
        self._memory = memory
        self._tenant_id = tenant_id
        self._texts: list[str] = []
        self._state: Opaque | None = None
        self._calls: list[ToolBegan] = []

    def take(self, event: StreamEvent) -> None:
        """Look at one event."""
        match event:
            case ReasoningDelta(choice=0):
                self._texts.append(event.text)
            case ReasoningState(choice=0):
                self._state = event.state
            case ToolBegan(choice=0):
                self._calls.append(event)
            case Finished(choice=0):
                self._note()

    def _note(self) -> None:
        text = "".join(self._texts)
        reasoning = Reasoning((text,) if text else (), self._state) if text or self._state else None
        for call in self._calls:
            self._memory.note(self._tenant_id, call.id, Remembered(call.state, reasoning))
            reasoning = None
