"""Patterns that a conversion vector's expectation is written in, and what they say of a value.

A pattern is JSON. A scalar is equal; a list has the same length and matches element by element; an object names some of
the value's members. An object with one member that starts with `$` is an operator, see `OPERATORS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Check = Callable[["Matching", Any, Any, str], list[str]]


def mismatches(pattern: Any, value: Any) -> list[str]:
    """Return in sentences where a value does not match; nothing when it does."""
    return Matching().match(pattern, value, "$")


class Matching:
    """One comparison; remembers what `$same` has been bound to."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}

    def match(self, pattern: Any, value: Any, path: str) -> list[str]:
        if isinstance(pattern, dict):
            name = next(iter(pattern), "")
            if len(pattern) == 1 and name.startswith("$"):
                return OPERATORS[name](self, pattern[name], value, path)
            if not isinstance(value, dict):
                return [f"{path}: an object was expected, not {shown(value)}"]
            return [text for key, each in pattern.items() for text in self.match(each, value.get(key), f"{path}.{key}")]
        if isinstance(pattern, list):
            if not isinstance(value, list) or len(value) != len(pattern):
                return [f"{path}: a list of {len(pattern)} was expected, not {shown(value)}"]
            pairs = enumerate(zip(pattern, value, strict=True))
            return [text for place, (one, other) in pairs for text in self.match(one, other, f"{path}[{place}]")]
        same = pattern is value if isinstance(pattern, bool) or isinstance(value, bool) else pattern == value
        return [] if same else [f"{path}: {shown(pattern)} was expected, not {shown(value)}"]

    def fits(self, pattern: Any, value: Any) -> bool:
        return not self.match(pattern, value, "")


def shown(value: Any) -> str:
    """Return the beginning of a value's JSON."""
    return json.dumps(value, ensure_ascii=False)[:200]


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def text_of(value: Any) -> str:
    """Return the text of a string, a part, or a list of parts."""
    if isinstance(value, dict):
        return text_of(value["parts"] if "parts" in value else value.get("text", ""))
    if isinstance(value, list):
        return "\n".join(map(text_of, value))
    return "" if value is None else str(value)


def many(argument: Any) -> list[Any]:
    return argument if isinstance(argument, list) else [argument]


def when(said: str, holds: Callable[[Matching, Any, Any], bool]) -> Check:
    """Return an operator that holds or does not."""

    def check(matching: Matching, argument: Any, value: Any, path: str) -> list[str]:
        return [] if holds(matching, argument, value) else [f"{path}: {said} {shown(argument)}; it is {shown(value)}"]

    return check


def as_json(matching: Matching, argument: Any, value: Any, path: str) -> list[str]:
    try:
        return matching.match(argument, json.loads(value), f"{path}<json>")
    except (TypeError, ValueError):
        return [f"{path}: JSON text was expected, not {shown(value)}"]


def all_of(matching: Matching, argument: Any, value: Any, path: str) -> list[str]:
    return [text for each in argument for text in matching.match(each, value, path)]


def each_finds_its_own(matching: Matching, patterns: list[Any], values: Any, *, exactly: bool) -> bool:
    if not isinstance(values, list) or (exactly and len(values) != len(patterns)):
        return False
    left = list(values)
    for pattern in patterns:
        found = next((place for place, value in enumerate(left) if matching.fits(pattern, value)), None)
        if found is None:
            return False
        del left[found]
    return True


def has_length(argument: Any, value: Any) -> bool:
    length = len(value) if hasattr(value, "__len__") else -1
    if isinstance(argument, int):
        return length == argument
    return bool(argument.get("min", 0) <= length <= argument.get("max", length))


def has_text(argument: list[str], value: Any) -> bool:
    pieces = r"\s*".join(re.escape(piece.strip()) for piece in argument)
    return re.fullmatch(rf"\s*{pieces}\s*", text_of(value), re.DOTALL) is not None


def is_bound(matching: Matching, name: str, value: Any) -> bool:
    return value is not None and bool(matching.bound.setdefault(name, value) == value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float)


OPERATORS: dict[str, Check] = {
    "$absent": when("absent was expected:", lambda m, a, v: v is None),
    "$any": when("something was expected:", lambda m, a, v: v is not None),
    "$same": when("it should be the same everywhere:", is_bound),
    "$differs": when("it should differ from", lambda m, a, v: v is not None and m.bound.get(a) != v),
    "$regex": when("it should match", lambda m, a, v: isinstance(v, str) and bool(re.search(a, v, re.DOTALL))),
    "$contains": when("it should contain", lambda m, a, v: isinstance(v, str) and all(each in v for each in many(a))),
    "$not_contains": when(
        "it should not contain",
        lambda m, a, v: not any(each in (v if isinstance(v, str) else dumped(v)) for each in many(a)),
    ),
    "$prefix": when("it should begin with", lambda m, a, v: isinstance(v, str) and v.startswith(a)),
    "$ci": when("in whatever case it should be", lambda m, a, v: isinstance(v, str) and v.lower() == a.lower()),
    "$json": as_json,
    "$oneof": when("one of these was expected:", lambda m, a, v: any(m.fits(each, v) for each in a)),
    "$all": all_of,
    "$not": when("it should not match", lambda m, a, v: not m.fits(a, v)),
    "$len": when("the length should be", lambda m, a, v: has_length(a, v)),
    "$unordered": when("these were expected:", lambda m, a, v: each_finds_its_own(m, a, v, exactly=True)),
    "$has": when("these should be among them:", lambda m, a, v: each_finds_its_own(m, a, v, exactly=False)),
    "$none": when("none should match", lambda m, a, v: not any(m.fits(a, each) for each in v or [])),
    "$deep_contains": when("somewhere it should say", lambda m, a, v: all(each in dumped(v) for each in many(a))),
    "$deep_absent": when("nowhere should it say", lambda m, a, v: not any(each in dumped(v) for each in many(a))),
    "$gte": when("it should be at least", lambda m, a, v: is_number(v) and v >= a),
    "$lte": when("it should be at most", lambda m, a, v: is_number(v) and v <= a),
    "$text": when("its text should be", lambda m, a, v: has_text(a, v)),
}
