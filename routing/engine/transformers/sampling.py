"""Bring sampling parameters within a range, or set those that the client left out."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest
from routing.engine.transformer import Transformer, merged


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds, and the value where the client gives none."""

    min: float | None = None
    max: float | None = None
    default: float | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that hold nothing."""
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min:g} is above `max` {self.max:g}")

    def within(self, value: float | None) -> float | None:
        """Return the value within the bounds."""
        if value is None:
            return self.default
        if self.min is not None:
            value = max(value, self.min)
        return value if self.max is None else min(value, self.max)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For each parameter a range, or a number that is its default."""

    temperature: Range | float | None = None
    top_p: Range | float | None = None
    top_k: Range | float | None = None
    presence_penalty: Range | float | None = None
    frequency_penalty: Range | float | None = None
    #: Known to local servers only; sent where the client's body has no such member.
    repetition_penalty: float | None = None


class Sampling(Transformer):
    """A value that is moved is reported as clamped."""

    name = "sampling"
    summary = "Keeps sampling parameters within a range, or sets those left out."
    options = Options

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request with every named parameter in its range."""
        changes: dict[str, Any] = {}
        for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"):
            bounds = getattr(options, name)
            if bounds is None:
                continue
            asked = getattr(request, name)
            value = (bounds if isinstance(bounds, Range) else Range(default=bounds)).within(asked)
            if value == asked or value is None:
                continue
            changes[name] = int(value) if name == "top_k" else value
            if asked is not None:
                losses.clamped(name)
        if options.repetition_penalty is not None:
            changes["extra"] = merged(request.extra, {"repetition_penalty": options.repetition_penalty})
        return replace(request, **changes) if changes else request
