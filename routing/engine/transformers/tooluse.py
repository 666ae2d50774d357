"""Make a model use tools in every turn, with one more tool to say that it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.losses import Losses
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Ended,
    Finish,
    Finished,
    Part,
    StreamEvent,
    Text,
    TextDelta,
    Tool,
    ToolBegan,
    ToolCall,
    ToolChoice,
    ToolDelta,
    ToolEnded,
)
from routing.engine.transformer import StreamChange, Transformer

EXIT = "ExitTool"
_EXIT_TOOL = Tool(
    EXIT,
    description=(
        "Call this when the task is done or needs no other tool. `response` is shown to the user as your answer, "
        "so write it in full."
    ),
    schema={
        "type": "object",
        "properties": {"response": {"type": "string", "description": "The answer to the user."}},
        "required": ["response"],
    },
)
_MODE = Text(
    "Tool mode is on: every turn must call a tool. Choose the one that serves the task best; when none does, or the "
    f"task is done, call `{EXIT}` with your answer."
)


class _Said(msgspec.Struct):
    response: str = ""


def _said(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=_Said).response
    except ValueError:
        return arguments


class ToolUse(Transformer):
    """For models that would rather talk than act. The client sees the exit call as plain text."""

    name = "tooluse"
    summary = "Demands a tool call in every turn, and adds a tool to end with."

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request with the demand, where tools are on offer and none is demanded already."""
        if not request.tools or (request.tool_choice is not None and request.tool_choice.mode != "auto"):
            return request
        return replace(
            request,
            tools=(*request.tools, _EXIT_TOOL),
            tool_choice=ToolChoice("required"),
            system=(*request.system, _MODE),
        )

    def answer(self, answer: ChatAnswer, options: Any) -> ChatAnswer:
        """Return the answer with the exit call as text."""
        return replace(answer, choices=tuple(_choice(choice) for choice in answer.choices))

    def stream(self, options: Any) -> StreamChange:
        """Return the same for a stream."""
        return _ExitAsText()


def _choice(choice: Choice) -> Choice:
    parts: list[Part] = [
        Text(_said(part.arguments)) if isinstance(part, ToolCall) and part.name == EXIT else part
        for part in choice.parts
    ]
    if parts == list(choice.parts):
        return choice
    calls = any(isinstance(part, ToolCall) for part in parts)
    finish = choice.finish
    if finish is not None and finish.reason == "tool_calls" and not calls:
        finish = Finish("stop")
    return replace(choice, parts=tuple(parts), finish=finish)


class _ExitAsText(StreamChange):
    """Holds the exit call's arguments until they are whole; the calls after it move up by one."""

    def __init__(self) -> None:
        self._exits: dict[tuple[int, int], list[str]] = {}
        self._open: set[tuple[int, int]] = set()
        self._calls: dict[int, int] = {}

    def change(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """Return the event, or the text that takes the place of the exit call."""
        match event:
            case ToolBegan(name=name) if name == EXIT:
                self._exits[event.choice, event.call] = []
                self._open.add((event.choice, event.call))
                return ()
            case ToolBegan():
                self._calls[event.choice] = self._calls.get(event.choice, 0) + 1
                return (replace(event, call=self._place(event.choice, event.call)),)
            case ToolDelta() | ToolEnded():
                return self._of_call(event)
            case Finished():
                return (*self._released(event.choice), self._finished(event))
            case Ended():
                return (*(text for choice, _ in list(self._open) for text in self._released(choice)), event)
            case _:
                return (event,)

    def _of_call(self, event: ToolDelta | ToolEnded) -> Iterable[StreamEvent]:
        held = self._exits.get((event.choice, event.call))
        if held is None:
            return (replace(event, call=self._place(event.choice, event.call)),)
        if isinstance(event, ToolDelta):
            held.append(event.text)
            return ()
        return self._released(event.choice)

    def _place(self, choice: int, call: int) -> int:
        return call - sum(each[0] == choice and each[1] < call for each in self._exits)

    def _released(self, choice: int) -> list[StreamEvent]:
        texts: list[StreamEvent] = []
        for key in sorted(self._open):
            if key[0] == choice:
                self._open.discard(key)
                texts.append(TextDelta(_said("".join(self._exits[key])), choice))
        return texts

    def _finished(self, event: Finished) -> Finished:
        if event.finish.reason == "tool_calls" and not self._calls.get(event.choice):
            return Finished(Finish("stop"), event.choice)
        return event
