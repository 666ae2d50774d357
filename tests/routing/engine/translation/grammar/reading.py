"""What every grammar of a stream has in common: events out of bytes, problems noted in words."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

Ending = Literal["open", "clean", "error"]

_LINE_END = re.compile(r"\r\n|\n|\r")


class Reading(ABC):
    """One stream read to its end: `problems` in words, `ending`, and the decoded events."""

    #: Whether comments may stand between events.
    takes_comments: ClassVar[bool] = True

    def __init__(self, wants_usage: bool = True) -> None:
        self.wants_usage = wants_usage
        self.problems: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.ending: Ending = "open"

    def read(self, told: bytes) -> None:
        """Read all bytes of a stream."""
        try:
            text = told.decode()
        except UnicodeDecodeError as error:
            self.wrong(f"is not UTF-8: {error}")
            return
        *lines, rest = _LINE_END.split(text)
        block: list[str] = []
        for line in lines:
            if line:
                block.append(line)
            elif block:
                self._read_block(block)
                block = []
        if block or rest:
            self.wrong(f"the last event has no blank line after it, so no client reads it: {[*block, rest]!r}")

    def _read_block(self, block: list[str]) -> None:
        name, data = "", []
        for line in block:
            field, colon, value = line.partition(":")
            if line.startswith(":"):
                self.expect(self.takes_comments, f"comment {line!r}")
            elif field == "data" and colon:
                self.expect(value.startswith(" "), f"no space after `data:` in {line[:40]!r}")
                data.append(value.removeprefix(" "))
            elif field == "event" and colon:
                name = value.removeprefix(" ")
            else:
                self.wrong(f"odd line {line[:40]!r}")
        if data:
            self.expect(self.ending == "open", f"something follows the end: {data}")
            self.take(name, "\n".join(data))
        elif name:
            self.wrong(f"event {name!r} without data")

    def wrong(self, what: str) -> None:
        """Note a problem."""
        self.problems.append(what)

    def expect(self, is_so: object, otherwise: str) -> None:
        """Note a problem unless something is so."""
        if not is_so:
            self.wrong(otherwise)

    def decoded(self, data: str) -> dict[str, Any] | None:
        """Return an event's object and keep it; None, with a problem noted, where there is none."""
        try:
            value = json.loads(data)
        except ValueError:
            self.wrong(f"is not JSON: {data[:80]!r}")
            return None
        if not isinstance(value, dict):
            self.wrong(f"is no object: {data[:80]!r}")
            return None
        self.events.append(value)
        return value

    @abstractmethod
    def take(self, name: str, data: str) -> None:
        """Read one event."""

    def close(self) -> None:  # noqa: B027 - most grammars say their end in an event
        """Decide how the stream ended, where only the end of the bytes tells."""

    def constant(self, what: str, value: object) -> None:
        """Note a problem where something that must stay the same has changed, or is no filled string."""
        self.expect(isinstance(value, str) and value, f"{what} is {value!r}")
        kept = self.__dict__.setdefault("_constants", {}).setdefault(what, value)
        self.expect(kept == value, f"{what} changed from {kept!r} to {value!r}")

    def count(self, what: str, value: object) -> None:
        """Note a problem where something is no count."""
        self.expect(isinstance(value, int) and not isinstance(value, bool) and value >= 0, f"{what} is {value!r}")

    def text(self, what: str, value: object) -> None:
        """Note a problem where something is no string."""
        self.expect(isinstance(value, str), f"{what} is {value!r}")
