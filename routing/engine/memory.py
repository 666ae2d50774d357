"""Reasoning state that a client would forget, kept by tool call until the next turn brings the call back.

Some clients drop every member they do not know, and with it the proof that an upstream wants to see again beside its
own tool call. The call's id is the one thing that always comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

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
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
)

#: Together they are this many characters at most; the oldest go first. A lost one costs a turn's reasoning, no more.
MAX_CHARS = 32 * 1024 * 1024
#: A single one larger than this is not kept.
MAX_ENTRY_CHARS = 1024 * 1024


class Remembered(msgspec.Struct, frozen=True):
    """What belongs to a tool call: the call's own state, and the reasoning that led to it.

    `reasoning` stands before the turn's text, `later` directly before the call.
    """

    state: Opaque | None = None
    reasoning: tuple[Reasoning, ...] = ()
    later: tuple[Reasoning, ...] = ()

    @property
    def size(self) -> int:
        """Return about how many characters it holds."""
        thoughts = self.reasoning + self.later
        blobs = [self.state, *(thought.state for thought in thoughts)]
        return sum(len(blob.blob) for blob in blobs if blob) + sum(
            len(text) for each in thoughts for text in each.texts
        )


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
            for call_id, remembered in _by_call(choice.parts):
                self.note(tenant_id, call_id, remembered)

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
        known = {
            part.id: found
            for part in message.parts
            if isinstance(part, ToolCall) and (found := self._kept.get((tenant_id, part.id))) is not None
        }
        if not known:
            return message
        is_thought_known = _is_thought_known(message.parts, known.values())
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Reasoning) and not is_thought_known:
                continue
            found = known.get(part.id) if isinstance(part, ToolCall) else None
            if isinstance(part, ToolCall) and found is not None:
                if not is_thought_known:
                    parts[:0] = found.reasoning
                    parts += found.later
                if part.state is None and found.state is not None:
                    part = replace(part, state=found.state)
            parts.append(part)
        return message if tuple(parts) == message.parts else replace(message, parts=tuple(parts))


def _by_call(parts: Iterable[Part]) -> list[tuple[str, Remembered]]:
    """Return what belongs to each tool call of a turn; a state told only behind the last call is that call's."""
    found: list[tuple[str, Remembered]] = []
    reasoning: list[Reasoning] = []
    later: list[Reasoning] = []
    is_leading, is_behind_call = True, False
    for part in parts:
        if isinstance(part, Reasoning):
            (reasoning if is_leading else later).append(part)
            continue
        is_leading, is_behind_call = False, isinstance(part, ToolCall)
        if isinstance(part, ToolCall):
            found.append((part.id, Remembered(part.state, tuple(reasoning), tuple(later))))
            reasoning, later = [], []
    if is_behind_call and (behind := tuple(part for part in later if part.state)):
        call_id, last = found[-1]
        found[-1] = call_id, replace(last, later=last.later + behind)
    return found


def _is_thought_known(parts: Iterable[Part], known: Iterable[Remembered]) -> bool:
    """Whether the client brought the turn's reasoning itself: with its state, or in other words than are remembered."""
    own = [part for part in parts if isinstance(part, Reasoning)]
    if not own:
        return False
    kept = [thought for each in known for thought in (*each.reasoning, *each.later)]
    has_lost_states = not any(part.state for part in own) and any(thought.state for thought in kept)
    return not (has_lost_states and _words(own) == _words(kept))


def _words(thoughts: Iterable[Reasoning]) -> str:
    return "".join("".join(text.split()) for thought in thoughts for text in thought.texts)


class Noting:
    """Keeps what a stream says about its tool calls, event by event; only the first choice is followed.

    For clients that bring the reasoning back themselves only the calls' own states are kept.
    """

    def __init__(self, memory: StateMemory, tenant_id: str, *, only_calls: bool = False) -> None:
        self._memory = memory
        self._tenant_id = tenant_id
        self._only_calls = only_calls
        self._texts: list[str] = []
        self._parts: list[Part] = []

    def take(self, event: StreamEvent) -> None:
        """Look at one event."""
        match event:
            case ReasoningDelta(choice=0):
                self._texts.append(event.text)
            case ReasoningState(choice=0):
                self._close(event.state, is_redacted=event.is_redacted)
            case TextDelta(choice=0) if self._texts or not (self._parts and isinstance(self._parts[-1], Text)):
                self._close()
                self._parts.append(Text(event.text))
            case ToolBegan(choice=0):
                self._close()
                self._parts.append(ToolCall(event.id, event.name, state=event.state))
            case Finished(choice=0):
                self._note()

    def _close(self, state: Opaque | None = None, *, is_redacted: bool = False) -> None:
        text = "".join(self._texts)
        self._texts.clear()
        if text or state is not None:
            self._parts.append(Reasoning((text,) if text else (), state, is_redacted))

    def _note(self) -> None:
        parts = [part for part in self._parts if isinstance(part, ToolCall)] if self._only_calls else self._parts
        for call_id, remembered in _by_call(parts):
            self._memory.note(self._tenant_id, call_id, remembered)
