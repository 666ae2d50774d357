"""Inputs of a given size that make a careless decoder slow, deep or large."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from analytics.engine.record import Usage
from routing.engine.messages import (
    Began,
    Ended,
    Finish,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    UsageReport,
)
from routing.engine.messages import PartEnded as End
from tests.routing.engine.translation.fuzz import rich
from tests.routing.engine.translation.mutations import blocks, changed, places
from tests.routing.engine.translation.talking import CLIENTS

#: What it is called → how it is made in a size.
Hostile = dict[str, Callable[[int], bytes]]


def _filled(before: bytes, filling: bytes, after: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: before + filling * (max(size - len(before) - len(after), 0) // len(filling)) + after


JSON: Hostile = {
    "nothing but brackets": _filled(b"", b"["),
    "nested objects": _filled(b"", b'{"a":'),
    "nested objects and lists": _filled(b"", b'{"a":['),
    "brackets that close": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "commas": _filled(b"[", b",", b"]"),
    "empty lists": _filled(b"[", b"[],", b"0]"),
    "empty objects": _filled(b"[", b"{},", b"0]"),
    "numbers": _filled(b"[", b"1,", b"1]"),
    "one long number": _filled(b"[1", b"0", b"]"),
    "one long fraction": _filled(b"[0.", b"1", b"]"),
    "one string": _filled(b'"', b"x", b'"'),
    "one string without end": _filled(b'{"a":"', b"x"),
    "half pairs": _filled(b'{"a":"', b"\\ud83d", b'"}'),
    "backslashes": _filled(b'{"a":"', b"\\\\", b'"}'),
    "backslashes without end": _filled(b'{"a":"', b"\\"),
    "bytes that are no text": _filled(b'{"a":"', b"\xff", b'"}'),
    "blanks": _filled(b"", b" "),
    "zeros": _filled(b"", b"\x00"),
    "many members": lambda size: b"{" + b",".join(b'"k%d":0' % n for n in range(size // 11)) + b"}",
    "the same member": _filled(b"{", b'"model":"m",', b'"model":"m"}'),
}

SSE: Hostile = {
    "lines of data without a blank one": _filled(b"", b"data: x\n"),
    "short lines of data": _filled(b"", b"data:\n"),
    "blank lines": _filled(b"", b"\n"),
    "carriage returns": _filled(b"", b"\r"),
    "mixed line ends": _filled(b"", b"\r\n\n\r"),
    "comments": _filled(b"", b":\n"),
    "comments with blank lines": _filled(b"", b":\n\n"),
    "empty events": _filled(b"", b"data: {}\n\n"),
    "tiny events": _filled(b"", b"data:0\n\n"),
    "named events without data": _filled(b"", b"event: x\n\n"),
    "markers": _filled(b"", b"data: [DONE]\n\n"),
    "one line": _filled(b"data: ", b"x"),
    "one event that is no JSON": _filled(b"data: {", b"x", b"\n\n"),
    "one nested event": _filled(b"data: ", b'{"a":[', b"\n\n"),
    "byte order marks": _filled(b"", b"\xef\xbb\xbfdata: {}\n\n"),
    "bytes that are no text": _filled(b"", b"\xff"),
}


def grown(body: Any) -> Hostile:
    """Return the ways to let one place of a body grow: lists with their elements again and again, long strings."""
    found: Hostile = {}
    for path in places(body):
        value = _at(body, path)
        name = ".".join(map(str, path)) or "all"
        if isinstance(value, list) and value:
            found[f"{name} again and again"] = _repeated(body, path, value)
        elif isinstance(value, str):
            found[f"{name} as a long text"] = _long(body, path, b"x")
            found[f"{name} as half pairs"] = _long(body, path, b"\\ud83d")
            found[f"{name} as open brackets"] = _long(body, path, b"[{")
        elif isinstance(value, dict):
            found[f"{name} nested"] = _nested(body, path)
            found[f"{name} with many members"] = _members(body, path, value)
    return found


def _at(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        body = body[step]
    return body


_MARK = "@here@"


def _around(body: Any, path: tuple[str | int, ...]) -> tuple[bytes, bytes]:
    before, _, after = json.dumps(changed(body, path, _MARK)).encode().partition(f'"{_MARK}"'.encode())
    return before, after


def _repeated(body: Any, path: tuple[str | int, ...], value: list[Any]) -> Callable[[int], bytes]:
    before, after = _around(body, path)
    elements = json.dumps(value)[1:-1].encode()
    return _filled(before + b"[", elements + b",", elements + b"]" + after)


def _long(body: Any, path: tuple[str | int, ...], filling: bytes) -> Callable[[int], bytes]:
    before, after = _around(body, path)
    return _filled(before + b'"', filling, b'"' + after)


def _nested(body: Any, path: tuple[str | int, ...]) -> Callable[[int], bytes]:
    before, after = _around(body, path)
    return lambda size: before + b'{"a":[' * (size // 10) + b"]}" * (size // 10) + after


def _members(body: Any, path: tuple[str | int, ...], value: dict[str, Any]) -> Callable[[int], bytes]:
    before, after = _around(body, path)
    first = json.dumps(value)[:-1].encode() + (b"," if value else b"")
    return lambda size: before + first + b",".join(b'"k%d":{}' % n for n in range(size // 12)) + b"}" + after


def streams(name: str) -> Hostile:
    """Return streams of a format in which one event comes again and again, or the events of an odd answer."""
    if name not in CLIENTS:
        return {}
    found: Hostile = {}
    events = blocks(rich.stream(name))
    for place, event in enumerate(events):
        found[f"event {place} again and again"] = _filled(b"".join(events[:place]), event, b"".join(events[place:]))
    for place in range(1, len(events)):
        pair = events[place - 1] + events[place]
        found[f"events {place - 1} and {place} again and again"] = _filled(
            b"".join(events[: place - 1]), pair, b"".join(events[place:])
        )
    for label, told in _ODD_ANSWERS.items():
        found[label] = _told(name, told)
    return found


def _told(name: str, told: Callable[[int], Iterator[StreamEvent]]) -> Callable[[int], bytes]:
    """Return a stream of about a size: as many steps of an odd answer as fill it."""

    def made(size: int) -> bytes:
        # What 64 steps cost tells how many are needed: events of one kind have one length, nearly.
        empty, some = len(_stream(name, told(0))), len(_stream(name, told(64)))
        return _stream(name, told(max(size - empty, 0) * 64 // max(some - empty, 1)))

    return made


def _stream(name: str, told: Iterator[StreamEvent]) -> bytes:
    ends: list[StreamEvent] = [Finished(Finish("tool_calls")), UsageReport(Usage(input_tokens=1)), Ended()]
    return rich.stream(name, [Began("i", "m", 1), TextDelta("a"), End(), *told, *ends])


def _tiny_texts(steps: int) -> Iterator[StreamEvent]:
    yield from (TextDelta("x") for _ in range(steps))


def _turns_of_thought_and_text(steps: int) -> Iterator[StreamEvent]:
    for step in range(steps):
        yield ReasoningDelta("x") if step % 2 else TextDelta("x")


def _many_calls(steps: int) -> Iterator[StreamEvent]:
    for step in range(steps):
        yield ToolBegan(step, f"call_{step}", "f")
        yield ToolDelta(step, "{}")


def _calls_taking_turns(steps: int) -> Iterator[StreamEvent]:
    yield ToolBegan(0, "call_0", "f")
    yield ToolBegan(1, "call_1", "f")
    yield from (ToolDelta(step % 2, '{"' if step < 2 else "x") for step in range(steps))


def _arguments_without_end(steps: int) -> Iterator[StreamEvent]:
    yield ToolBegan(0, "call_0", "f")
    yield ToolDelta(0, '{"a":"')
    yield from (ToolDelta(0, "\\n") for _ in range(steps))


def _deep_arguments(steps: int) -> Iterator[StreamEvent]:
    yield ToolBegan(0, "call_0", "f")
    yield from (ToolDelta(0, '{"a":[') for _ in range(steps))


_ODD_ANSWERS: dict[str, Callable[[int], Iterator[StreamEvent]]] = {
    "tiny texts": _tiny_texts,
    "thought and text in turns": _turns_of_thought_and_text,
    "many calls": _many_calls,
    "calls taking turns": _calls_taking_turns,
    "arguments without end": _arguments_without_end,
    "deep arguments": _deep_arguments,
}


def _schema_nested(size: int) -> bytes:
    depth = min(size // 30, 900)
    return b'{"type":"object","properties":{"a":' * depth + b"{}" + b"}}" * depth


def _schema_doubling(size: int) -> bytes:
    """Return definitions of which each names the next twice: put in place, they double at every step."""
    count = min(size // 60, 2000)
    each = [
        b'"d%d":{"type":"object","properties":{"l":{"$ref":"#/$defs/d%d"},"r":{"$ref":"#/$defs/d%d"}}}'
        % (n, n + 1, n + 1)
        for n in range(count)
    ]
    return b'{"$ref":"#/$defs/d0","$defs":{' + b",".join(each) + b"}}"


def _schema_all_of(size: int) -> bytes:
    return (
        b'{"allOf":['
        + b",".join(b'{"properties":{"p%d":{}},"required":["p%d"]}' % (n, n) for n in range(size // 45))
        + b"]}"
    )


SCHEMAS: Hostile = {
    "nested": _schema_nested,
    "doubling references": _schema_doubling,
    "allOf of many": _schema_all_of,
    "one reference that is itself": _filled(b'{"$ref":"#","x":"', b"y", b'"}'),
    "allOf of itself": _filled(b'{"allOf":[', b'{"$ref":"#"},', b'{"$ref":"#"}]}'),
    "anyOf of itself": _filled(b'{"anyOf":[', b'{"$ref":"#"},', b'{"$ref":"#"}]}'),
    "a long reference": _filled(b'{"$ref":"#', b"/a", b'"}'),
    "many members": _filled(b'{"properties":{', b'"a":{"type":"string"},', b'"b":{}}}'),
    "different members": lambda size: (
        b'{"properties":{' + b",".join(b'"k%d":{}' % n for n in range(size // 11)) + b"}}"
    ),
    "a long enum": _filled(b'{"enum":[', b'"a",', b'"b"]}'),
    "required without members": _filled(b'{"required":[', b'"a",', b'"b"]}'),
    "many types": _filled(b'{"type":[', b'"string",', b'"null"]}'),
}
