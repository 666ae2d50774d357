"""The contract of a transformer: a pure change to a conversation on its way to a channel, and to its answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec

from channels_app.engine.capabilities import Capabilities
from routing.engine.losses import Losses
from routing.engine.messages import ChatAnswer, ChatRequest, StreamEvent

#: An option that counts tokens.
Tokens = Annotated[int, msgspec.Meta(ge=1)]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A transformer without options."""


class StreamChange:
    """One stream's changes; keeps what it must between events."""

    def change(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """Return what takes the place of an event: itself, others, or nothing."""
        return (event,)


class Transformer:
    """A named change. It sees values only: no clock, no database, no tenant. Methods that are not needed stay away.

    Order on the way there: `can` of all, then `request` of all, in the order of the chain; the answer passes the chain
    backwards.
    """

    name: ClassVar[str]
    #: One sentence for lists.
    summary: ClassVar[str]
    #: The options that it takes, with their defaults and types.
    options: ClassVar[type[msgspec.Struct]] = NoOptions
    #: Set on those that say which format a channel is spoken to in: they change nothing else.
    format: ClassVar[str] = ""

    def options_for(self, model: str, options: Any) -> Any:
        """Return the options for one of the upstream's models, where what is left open depends on it."""
        return options

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return what the target is to be taken for."""
        return capabilities

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request to send on; what the client asked for and will not get is noted in `losses`."""
        return request

    def answer(self, answer: ChatAnswer, options: Any) -> ChatAnswer:
        """Return the whole answer to give back."""
        return answer

    def stream(self, options: Any) -> StreamChange | None:
        """Return the changes of one stream; None when it passes as it is."""
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """One transformer with its options."""

    transformer: Transformer
    options: Any


class Chain:
    """Transformers in order, as one."""

    __slots__ = ("steps",)

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = tuple(steps)

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def changes_anything(self) -> bool:
        """Whether it does more than name the format to speak."""
        return any(not step.transformer.format for step in self.steps)

    def can(self, capabilities: Capabilities) -> Capabilities:
        """Return what the target is to be taken for."""
        for step in self.steps:
            capabilities = step.transformer.can(capabilities, step.options)
        return capabilities

    def request(self, request: ChatRequest, losses: Losses) -> ChatRequest:
        """Return the request to send on."""
        for step in self.steps:
            request = step.transformer.request(request, losses, step.options)
        return request

    def answer(self, answer: ChatAnswer) -> ChatAnswer:
        """Return the whole answer to give back."""
        for step in reversed(self.steps):
            answer = step.transformer.answer(answer, step.options)
        return answer

    def stream(self) -> list[StreamChange]:
        """Return the changes of one stream, first to apply first."""
        changes = (step.transformer.stream(step.options) for step in reversed(self.steps))
        return [change for change in changes if change is not None]


def changed(events: Iterable[StreamEvent], changes: Iterable[StreamChange]) -> list[StreamEvent]:
    """Return events after all changes."""
    told = list(events)
    for change in changes:
        told = [after for event in told for after in change.change(event)]
    return told


def merged(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Return a body with members added at every depth; where it says something itself, that stays."""
    both = dict(body)
    for name, value in extra.items():
        if name not in both:
            both[name] = value
        elif isinstance(both[name], dict) and isinstance(value, dict):
            both[name] = merged(both[name], value)
    return both
