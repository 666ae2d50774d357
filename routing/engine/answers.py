"""Whole answers and streamed ones are the same answer: collect events into one, tell one as events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.messages import (
    Began,
    ChatAnswer,
    Choice,
    Citation,
    Cited,
    Ended,
    Failed,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    Opaque,
    Part,
    PartEnded,
    PartMade,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    Text,
    TextDelta,
    TextState,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)


def events_of(answer: ChatAnswer) -> Iterator[StreamEvent]:
    """Tell a whole answer as the events of a stream."""
    yield Began(answer.id, answer.model, answer.created_s)
    for place, choice in enumerate(answer.choices):
        yield from _events_of_parts(choice.parts, place)
        if choice.logprobs:
            yield LogprobsDelta(choice.logprobs, place)
    for place, choice in enumerate(answer.choices):
        yield Finished(choice.finish or Finish("stop"), place)
    if answer.usage is not None:
        yield UsageReport(answer.usage)
    yield Ended()


def _events_of_parts(parts: Iterable[Part], choice: int) -> Iterator[StreamEvent]:
    calls = 0
    for part in parts:
        if isinstance(part, ToolCall):
            yield ToolBegan(calls, part.id, part.name, choice, part.is_custom, part.state, part.native)
            if part.arguments:
                yield ToolDelta(calls, part.arguments, choice)
            yield ToolEnded(calls, choice)
            calls += 1
        elif isinstance(part, Text):
            yield from _events_of_text(part, choice)
        elif isinstance(part, Reasoning):
            for number, text in enumerate(part.texts):
                yield ReasoningDelta(text, choice, number, part.is_verbatim)
            if part.state is not None:
                yield ReasoningState(part.state, choice, part.is_redacted)
            else:
                yield PartEnded(choice)
        elif isinstance(part, Media | Native):
            yield PartMade(part, choice)


def _events_of_text(part: Text, choice: int) -> Iterator[StreamEvent]:
    yield TextDelta(part.text, choice, part.is_refusal, part.phase)
    for citation in part.citations:
        yield Cited(citation, choice)
    if part.state is not None:
        yield TextState(part.state, choice)
    yield PartEnded(choice)


@dataclass(slots=True)
class _OpenPart:
    """Text or reasoning that is still growing."""

    kind: type[Text] | type[Reasoning]
    texts: list[list[str]] = field(default_factory=lambda: [[]])
    number: int = 0
    is_refusal: bool = False
    is_verbatim: bool = False
    is_redacted: bool = False
    phase: str = ""
    citations: list[Citation] = field(default_factory=list)
    state: Opaque | None = None

    def close(self) -> Part | None:
        texts = tuple("".join(text) for text in self.texts)
        if self.kind is Text:
            if not texts[0] and self.state is None and not self.citations:
                return None
            return Text(texts[0], self.is_refusal, tuple(self.citations), state=self.state, phase=self.phase)
        texts = tuple(text for text in texts if text)
        if not texts and self.state is None:
            return None
        return Reasoning(texts, self.state, self.is_redacted, self.is_verbatim)


@dataclass(slots=True)
class _OpenChoice:
    parts: list[Part | int] = field(default_factory=list)
    calls: dict[int, ToolBegan] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    open: _OpenPart | None = None
    finish: Finish | None = None
    logprobs: list[Any] = field(default_factory=list)

    def close_part(self) -> None:
        part = self.open.close() if self.open is not None else None
        if part is not None:
            self.parts.append(part)
        self.open = None

    def text(self, event: TextDelta) -> None:
        part = self.open
        if part is None or part.kind is not Text or part.is_refusal != event.is_refusal or part.phase != event.phase:
            self.close_part()
            part = self.open = _OpenPart(Text, is_refusal=event.is_refusal, phase=event.phase)
        part.texts[0].append(event.text)

    def reasoning(self, event: ReasoningDelta) -> None:
        part = self.open
        if part is None or part.kind is not Reasoning:
            self.close_part()
            part = self.open = _OpenPart(Reasoning, is_verbatim=event.is_verbatim, number=event.part)
        if part.number != event.part:
            part.number = event.part
            part.texts.append([])
        part.texts[-1].append(event.text)

    def reasoning_state(self, event: ReasoningState) -> None:
        if self.open is None or self.open.kind is not Reasoning:
            self.close_part()
            self.open = _OpenPart(Reasoning)
        self.open.state, self.open.is_redacted = event.state, event.is_redacted
        self.close_part()

    def note(self, event: StreamEvent) -> None:
        """Take what is said about the answer rather than in it."""
        match event:
            case TextState() if self.open is not None and self.open.kind is Text:
                self.open.state = event.state
            case TextState():
                self.close_part()
                self.parts.append(Text("", state=event.state))
            case LogprobsDelta():
                self.logprobs.extend(event.tokens)
            case Finished():
                self.finish = event.finish

    def whole(self) -> Choice:
        self.close_part()
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, int):
                call = self.calls[part]
                arguments = "".join(self.arguments[part])
                parts.append(ToolCall(call.id, call.name, arguments, call.is_custom, call.state, native=call.native))
            else:
                parts.append(part)
        return Choice(tuple(parts), self.finish, self.logprobs or None)


class Collector:
    """Makes a whole answer of events, for a client that wants no stream of an upstream that gives nothing else."""

    def __init__(self) -> None:
        self._began = Began()
        self._choices: dict[int, _OpenChoice] = {}
        self._usage: Usage | None = None
        self.is_complete = False
        self.failure: Failed | None = None

    def take(self, events: Iterable[StreamEvent]) -> None:
        """Add events, in order."""
        for event in events:
            self._take(event)

    def _take(self, event: StreamEvent) -> None:
        match event:
            case Began():
                self._began = event
            case UsageReport():
                self._usage = event.usage
            case Ended():
                self.is_complete = True
            case Failed():
                self.failure = self.failure or event
            case _:
                self._take_of_choice(event)

    def _take_of_choice(self, event: Any) -> None:
        choice = self._choices.setdefault(event.choice, _OpenChoice())
        match event:
            case TextDelta():
                choice.text(event)
            case ReasoningDelta():
                choice.reasoning(event)
            case ReasoningState():
                choice.reasoning_state(event)
            case ToolBegan():
                choice.close_part()
                choice.calls[event.call] = event
                choice.arguments[event.call] = []
                choice.parts.append(event.call)
            case ToolDelta():
                choice.arguments[event.call].append(event.text)
            case PartMade():
                choice.close_part()
                choice.parts.append(event.part)
            case PartEnded():
                choice.close_part()
            case Cited() if choice.open is not None:
                choice.open.citations.append(event.citation)
            case _:
                choice.note(event)

    def answer(self) -> ChatAnswer:
        """Return the answer so far."""
        choices = tuple(self._choices[place].whole() for place in sorted(self._choices))
        began = self._began
        return ChatAnswer(began.id, began.model, began.created_s, choices, self._usage)


def without_empty(answer: ChatAnswer) -> ChatAnswer:
    """Return an answer whose parts all say something: streams cannot tell an empty text from none."""
    return replace(
        answer,
        choices=tuple(
            replace(choice, parts=tuple(part for part in choice.parts if not _is_empty(part)))
            for choice in answer.choices
        ),
    )


def _is_empty(part: Part) -> bool:
    if isinstance(part, Text):
        return not part.text and part.state is None and not part.citations
    return isinstance(part, Reasoning) and not part.text and part.state is None
