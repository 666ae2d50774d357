"""A tool call's arguments: text as models write it, perhaps torn or wrong, and the JSON object that upstreams want."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from routing.engine.wirejson import decode

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

#: All that matters to nesting. A backslash takes the next character with it, which may be in the next fragment.
_MARK = re.compile(r"\\.?|[\"{}\[\],]", re.DOTALL)
_CLOSERS = {"{": "}", "[": "]"}
_TORN_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,3}\Z")
_LONGEST_ESCAPE = len(r"\u0000")


class Nesting:
    """Follows JSON text in fragments, cut anywhere; every character is looked at once."""

    __slots__ = ("_past", "_popped", "closers", "first_end", "has_begun", "is_escaped", "is_in_string", "whole_until")

    def __init__(self) -> None:
        #: The brackets that are still open, as what closes them.
        self.closers: list[str] = []
        self.is_in_string = False
        self.has_begun = False
        #: Up to here all is whole but for brackets: the last comma, or the place after the last opening bracket.
        self.whole_until = 0
        #: Where the first value with brackets ends, 0 before that.
        self.first_end = 0
        self._popped: list[str] = []
        self._past = 0
        #: A backslash was the last character so far.
        self.is_escaped = False

    @property
    def is_closed(self) -> bool:
        """Whether an object or a list has begun and ended."""
        return self.has_begun and not self.closers

    @property
    def closers_there(self) -> list[str]:
        """Return the brackets that were open at `whole_until`."""
        return [*self.closers, *reversed(self._popped)]

    def feed(self, text: str) -> None:
        """Take the next fragment."""
        start = 1 if self.is_escaped and text else 0
        self.is_escaped = self.is_escaped and not text
        for found in _MARK.finditer(text, start):
            mark = found[0]
            if mark[0] == "\\":
                self.is_escaped = len(mark) == 1
            elif mark == '"':
                self.is_in_string = not self.is_in_string
            elif not self.is_in_string:
                self._bracket(mark, self._past + found.start())
        self._past += len(text)

    def _bracket(self, mark: str, place: int) -> None:
        if mark in _CLOSERS:
            self.has_begun = True
            self.closers.append(_CLOSERS[mark])
            self.whole_until, self._popped = place + 1, []
        elif mark == ",":
            self.whole_until, self._popped = place, []
        elif self.closers:
            self._popped.append(self.closers.pop())
            if not self.closers and not self.first_end:
                self.first_end = place + 1


def as_object(text: str) -> tuple[dict[str, Any], bool]:
    """Return a call's arguments as an object, and whether they say the same as the text.

    None at all are the empty object. Text that breaks off keeps what was whole; an object inside a string is taken out
    of it; what is no object is put into one as `value`; what is no JSON at all becomes the empty object.
    """
    if not text.strip():
        return {}, True
    try:
        value, is_faithful = _read(text), True
    except (ValueError, RecursionError):
        value, is_faithful = _mended(text), False
    if isinstance(value, str) and value.lstrip().startswith("{"):
        # Some servers encode arguments twice.
        value, is_faithful = as_object(value)[0], False
    if isinstance(value, dict):
        return value, is_faithful
    return ({}, is_faithful) if value is None else ({"value": value}, False)


def _read(text: str) -> Any:
    return decode(_ANY, text.encode("utf-8", "replace"))


def _mended(text: str) -> Any:
    """Return what can be read of arguments that break off or go on after their end, None when that is nothing."""
    nesting = Nesting()
    nesting.feed(text)
    for kept in _tries(text, nesting):
        try:
            return _read(kept)
        except (ValueError, RecursionError):
            continue
    return None


def _tries(text: str, nesting: Nesting) -> Iterator[str]:
    """Yield ways to end a torn text, those that keep more first."""
    closing = "".join(reversed(nesting.closers))
    if nesting.is_closed:
        yield text[: nesting.first_end]
    elif nesting.is_in_string:
        kept = text[:-1] if nesting.is_escaped else text
        yield f'{kept}"{closing}'
        yield f'{kept[:-_LONGEST_ESCAPE]}{_TORN_ESCAPE.sub("", kept[-_LONGEST_ESCAPE:])}"{closing}'
    elif closing:
        yield text + closing
    if closing:
        yield text[: nesting.whole_until] + "".join(reversed(nesting.closers_there))
