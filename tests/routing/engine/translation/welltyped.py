"""Whether canonical values hold what their annotations promise: structs do not check it when they are made."""

from __future__ import annotations

import types
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from routing.engine.messages import (
    Began,
    Ended,
    Failed,
    Finished,
    StreamEvent,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)


def faults(value: Any, path: str = "") -> list[str]:
    """Return where a canonical value, or one inside it, has another type than it says; text must be UTF-8 too."""
    found: list[str] = []
    for name, hint in _hints(type(value)).items():
        _check(getattr(value, name), hint, f"{path or type(value).__name__}.{name}", found)
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _check(value: Any, hint: Any, path: str, found: list[str]) -> None:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        _check_json(value, path, found)
    elif origin is Literal:
        if value not in args:
            found.append(f"{path}: {value!r} is none of {args}")
    elif origin in (Union, types.UnionType):
        _check_union(value, args, path, found)
    elif origin is tuple:
        _check_items(value, tuple, args[0], path, found)
    elif origin is list:
        _check_items(value, list, args[0], path, found)
    elif origin is dict:
        if not isinstance(value, dict):
            found.append(f"{path}: {value!r} is no dict")
        _check_json(value, path, found)
    else:
        _check_plain(value, hint, path, found)


def _check_union(value: Any, args: tuple[Any, ...], path: str, found: list[str]) -> None:
    if value is None and type(None) in args:
        return
    problems: list[list[str]] = []
    for arg in args:
        tried: list[str] = []
        if arg is not type(None):
            _check(value, arg, path, tried)
            problems.append(tried)
    if all(problems):
        found.extend(min(problems, key=len))


def _check_items(value: Any, kind: type, each: Any, path: str, found: list[str]) -> None:
    if not isinstance(value, kind):
        found.append(f"{path}: {value!r} is no {kind.__name__}")
        return
    for place, item in enumerate(value):
        _check(item, each, f"{path}[{place}]", found)


def _check_plain(value: Any, hint: type, path: str, found: list[str]) -> None:
    is_number = hint is float and isinstance(value, int) and not isinstance(value, bool)
    if hint is int and isinstance(value, bool):
        found.append(f"{path}: {value!r} is no int")
    elif not isinstance(value, hint) and not is_number:
        found.append(f"{path}: {value!r} is no {hint.__name__}")
    elif isinstance(value, msgspec.Struct):
        found.extend(faults(value, path))
    elif isinstance(value, str):
        _check_text(value, path, found)


def _check_text(value: str, path: str, found: list[str]) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        found.append(f"{path}: {value!r} holds half a surrogate pair")


def _check_json(value: Any, path: str, found: list[str]) -> None:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        found.append(f"{path}: {value!r} is no JSON: {error}")
    except RecursionError:
        found.append(f"{path}: nested deeper than can be written")


class _Order:
    """Follows events and notes where they leave the order that messages.py promises."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.began = 0
        self.is_over = False
        self.calls: dict[int, int] = {}
        self.ended: set[tuple[int, int]] = set()
        self.finished: set[int] = set()

    def take(self, event: StreamEvent) -> None:
        if self.is_over:
            self.found.append(f"{event} after the end")
        if isinstance(event, Began):
            self.began += 1
        elif not self.began and not isinstance(event, Failed):
            self.found.append(f"{event} before Began")
        if isinstance(event, Ended | Failed):
            self.is_over = True
        elif isinstance(event, Finished):
            if event.choice in self.finished:
                self.found.append(f"{event} twice")
            self.finished.add(event.choice)
        elif not isinstance(event, Began | UsageReport):
            self._inside(event)

    def _inside(self, event: Any) -> None:
        if event.choice in self.finished:
            self.found.append(f"{event} after its choice has finished")
        if isinstance(event, ToolBegan):
            if event.call != self.calls.get(event.choice, 0):
                self.found.append(f"{event}: expected call {self.calls.get(event.choice, 0)}")
            self.calls[event.choice] = event.call + 1
        elif isinstance(event, ToolDelta | ToolEnded):
            place = (event.choice, event.call)
            if event.call >= self.calls.get(event.choice, 0) or place in self.ended:
                self.found.append(f"{event} of a call that is not open")
            if isinstance(event, ToolEnded):
                self.ended.add(place)

    def close(self) -> None:
        if self.began > 1:
            self.found.append("Began twice")


def disorder(events: Iterable[StreamEvent]) -> list[str]:
    """Return where events leave their promised order, or hold what they must not."""
    order = _Order()
    for event in events:
        order.take(event)
        order.found.extend(faults(event))
    order.close()
    return order.found
