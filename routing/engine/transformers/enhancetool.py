"""Mend the arguments of tool calls that are not quite JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from routing.engine.jsonmend import mended
from routing.engine.messages import (
    ChatAnswer,
    Ended,
    Finished,
    Part,
    StreamEvent,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
)
from routing.engine.transformer import StreamChange, Transformer


class EnhanceTool(Transformer):
    """Arguments are held until the call is whole, so tool calls no longer arrive piece by piece."""

    name = "enhancetool"
    summary = "Mends tool arguments that are not quite JSON; calls then arrive whole."

    def answer(self, answer: ChatAnswer, options: Any) -> ChatAnswer:
        """Return the answer with every call's arguments mended."""
        return replace(
            answer,
            choices=tuple(
                replace(choice, parts=tuple(_mended(part) for part in choice.parts)) for choice in answer.choices
            ),
        )

    def stream(self, options: Any) -> StreamChange:
        """Return the same for a stream."""
        return _Holding()


def _mended(part: Part) -> Part:
    if not isinstance(part, ToolCall) or part.is_custom:
        return part
    return replace(part, arguments=mended(part.arguments) or part.arguments)


class _Holding(StreamChange):
    def __init__(self) -> None:
        self._held: dict[tuple[int, int], list[str]] = {}

    def change(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """Hold a call's arguments until it ends."""
        match event:
            case ToolBegan(is_custom=False):
                self._held[event.choice, event.call] = []
                return (event,)
            case ToolDelta() if (event.choice, event.call) in self._held:
                self._held[event.choice, event.call].append(event.text)
                return ()
            case ToolEnded():
                return (*self._released(event.choice, event.call), event)
            case Finished():
                keys = [key for key in self._held if key[0] == event.choice]
                return (*(text for key in keys for text in self._released(*key)), event)
            case Ended():
                return (*(text for key in list(self._held) for text in self._released(*key)), event)
            case _:
                return (event,)

    def _released(self, choice: int, call: int) -> list[StreamEvent]:
        held = self._held.pop((choice, call), None)
        if not held:
            return []
        text = "".join(held)
        return [ToolDelta(call, mended(text) or text, choice)]
