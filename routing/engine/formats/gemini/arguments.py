"""A tool call's arguments: JSON text elsewhere, an object in Gemini."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from routing.engine.formats.gemini.depth import MAX_DEPTH, is_too_deep
from routing.engine.wirejson import decode, mend

# A string, ended or not, or what structures JSON outside of strings.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}\[\],]', re.DOTALL)
_TORN_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,3}\Z")
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class _Open(NamedTuple):
    """A bracket that is open, and the one around it."""

    closer: str
    within: _Open | None


def text_of(arguments: Any) -> str:
    """Return arguments as JSON text; a text is taken for JSON already."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else _encode(arguments).decode()


def object_of(arguments: str) -> tuple[dict[str, Any], bool]:
    """Return arguments as an object, and whether they are what was written.

    Of text that is no JSON object, such as one cut off in the middle, as much is read as there is.
    """
    if not arguments.strip():
        return {}, True
    try:
        found = decode(_ANY, arguments.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return _rescued(arguments), False
    is_exact = isinstance(found, dict) and not is_too_deep(arguments, found)
    return (found, True) if is_exact else ({}, False)


def _rescued(text: str) -> dict[str, Any]:
    """Return the object that torn JSON begins, closed where it is open; an empty one when nothing can be read."""
    start = text.find("{")
    if start < 0 or text[:start].strip():
        return {}
    for attempt in _closed(text, start):
        found = _parse(attempt)
        if isinstance(found, dict):
            return found
    return {}


def _closed(text: str, start: int) -> list[str]:
    """Return the ways to close torn JSON: at its very end, or else after the last member that is whole."""
    # What is open is a linked list, so that the state at the last whole member costs nothing to keep.
    opened: _Open | None = None
    depth = 0
    cut, cut_opened, end, tail = start, opened, len(text), ""
    for token in _TOKEN.finditer(text, start):
        char = token[0][0]
        if char == '"':
            if token[1]:
                continue
            end, tail = token.end(), '"'
            break
        if char in "{[":
            opened = _Open("}" if char == "{" else "]", opened)
            depth += 1
            if depth > MAX_DEPTH:
                return []
        elif char in "}]":
            opened = opened.within if opened else None
            depth -= 1
            if opened is None:
                end = token.end()
                break
        cut, cut_opened = token.start() if char == "," else token.end(), opened
    whole = text[start:end]
    return [
        whole + tail + _closers(opened),
        _TORN_ESCAPE.sub("", whole) + tail + _closers(opened),
        text[start:cut] + _closers(cut_opened),
    ]


def _closers(opened: _Open | None) -> str:
    closers = []
    while opened is not None:
        closers.append(opened.closer)
        opened = opened.within
    return "".join(closers)


def _parse(text: str) -> Any:
    try:
        return json.loads(mend(text.encode("utf-8", "replace")), strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
