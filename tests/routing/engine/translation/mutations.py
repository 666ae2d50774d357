"""Valid bodies and streams made wrong: each place of another type, torn text, strange events between good ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

#: What may stand where something else was promised.
STRANGERS: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    "",
    "text",
    "\ud800",
    [],
    [None],
    ["x"],
    [[]],
    {},
    {"type": "x"},
    {"type": None},
    {"type": ["x"]},
    {"a": {"b": [1]}},
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every member and element, the whole value's first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def changed(value: Any, path: Path, stranger: Any) -> Any:
    """Return the value with something else at a path."""
    if not path:
        return stranger
    head, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = changed(value[head], tuple(rest), stranger)
    return copy


def without(value: Any, path: Path) -> Any:
    """Return the value without the member or element at a path."""
    *above, last = path
    target: Any = value
    for step in above:
        target = target[step]
    copy: Any = dict(target) if isinstance(target, dict) else list(target)
    del copy[last]
    return changed(value, tuple(above), copy)


def dump(value: Any) -> bytes:
    """Return JSON bytes; half surrogate pairs come as escapes, as the wire has them."""
    return json.dumps(value).encode()


@st.composite
def wrong_types(draw: st.DrawFn, body: Any) -> bytes:
    """Draw a body in which one to three places hold something else, or nothing."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(body))))
        if path and draw(st.integers(0, 5)) == 5:
            body = without(body, path)
        else:
            body = changed(body, path, draw(st.sampled_from(STRANGERS)))
    return dump(body)


@st.composite
def torn(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw a body with bytes cut out, doubled, or changed."""
    if not body:
        return b""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 30)))
        inside = draw(st.sampled_from((b"", b"\x00", b"\xff", b'"', b"{", b"]", b"\n\n", b"\r", body[start:end] * 2)))
        body = body[:start] + inside + body[end:]
    return body


#: Events that no upstream should send.
ODD_EVENTS: tuple[bytes, ...] = (
    b"data: {\n\n",
    b"data: {}\n\n",
    b"data: []\n\n",
    b"data: null\n\n",
    b"data: 5\n\n",
    b'data: "text"\n\n',
    b"data: \xff\xfe\n\n",
    b"data: [DONE]\n\n",
    b"data:\n\n",
    b"data\n\n",
    b"event: x\n\n",
    b"event: error\ndata: {}\n\n",
    b'event: error\ndata: {"type":"error","error":null}\n\n',
    b": comment\n\n",
    b"\n\n",
    b"\r\n",
    b"id: 1\nretry: 5\n\n",
    b"\xef\xbb\xbfdata: {}\n\n",
    b"data: {\ndata: }\n\n",
    b'data: {"error":null}\n\n',
    b"data: " + b"[" * 3000 + b"\n\n",
    b'data: {"choices":[{}],"candidates":[{}],"delta":{},"response":{},"item":{},"content_block":{},"message":{}}\n\n',
    b'data: {"choices":null,"candidates":null,"usage":null,"usageMetadata":null,"error":null}\n\n',
    b"{}\n\n",
    b"<html>\n\n",
)


def blocks(body: bytes) -> list[bytes]:
    """Return a stream's events, each with its blank line."""
    end = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    return [block + end for block in body.split(end) if block]


@st.composite
def spliced(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw a stream with events doubled, left out, swapped, made wrong, or strange ones between."""
    events = blocks(body)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(events) - 1, 0)))
        how = draw(st.sampled_from(("odd", "double", "drop", "swap", "types", "types", "types")))
        if how == "odd" or not events:
            events.insert(at, draw(st.sampled_from(ODD_EVENTS)))
        elif how == "double":
            events.insert(at, events[at])
        elif how == "drop":
            del events[at]
        elif how == "swap":
            events[at], events[0] = events[0], events[at]
        else:
            events[at] = draw(_wrong_event(events[at]))
    return b"".join(events)


@st.composite
def _wrong_event(draw: st.DrawFn, block: bytes) -> bytes:
    head, mark, data = block.partition(b"data: ")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return block
    return head + mark + draw(wrong_types(value)) + b"\n\n"
