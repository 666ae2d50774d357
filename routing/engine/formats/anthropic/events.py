"""One event of an upstream's stream, read leniently: what is of another type than it should be is not there."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.formats.anthropic.shape import Object
from routing.engine.wirejson import decode, decode_halves, is_json


class Delta(msgspec.Struct, gc=False):
    """What an event adds to a block, or to the whole message."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: Any = None
    citation: Any = None
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: Any = None


class Event(msgspec.Struct, gc=False):
    """An event of any kind."""

    type: str | None = None
    index: int | None = None
    delta: Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


_EVENT = msgspec.json.Decoder(Event)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_TEXTS = ("type", "text", "thinking", "signature")
_OTHERS = ("partial_json", "citation", "stop_reason", "stop_sequence", "stop_details")
#: Texts that go on in the next delta, which may hold the other half of a character.
_GOING_ON = ("text", "thinking", "partial_json")


def read_event(data: bytes) -> tuple[Event | None, Object]:
    """Return an event, and its JSON where that had to be read another way; None where it is no JSON."""
    try:
        return _EVENT.decode(data), {}
    except msgspec.ValidationError:
        # Refused for its first character, it may still be cut or broken further on.
        plain = read_object(data)
        return (_gently(plain), plain) if plain or is_json(data) else (None, {})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_halves(data)


def _read_halves(data: bytes) -> tuple[Event | None, Object]:
    """Return an event whose texts may end or begin in the middle of a character, or hold bytes that are none."""
    data = data.decode("utf-8", "replace").encode()
    try:
        torn = decode_halves(data)
    except (ValueError, RecursionError):
        return None, {}
    plain = read_object(data)
    if not isinstance(torn, dict) or (torn and not plain):
        return None, {}
    event, delta = _gently(plain), torn.get("delta")
    if event.delta is not None and isinstance(delta, dict):
        for name in _GOING_ON:
            if isinstance(text := delta.get(name), str):
                setattr(event.delta, name, text)
    return event, plain


def _gently(plain: Object) -> Event:
    """Return an event without what is of another type than it should be."""
    delta, index = plain.get("delta"), plain.get("index")
    read = None
    if isinstance(delta, dict):
        texts = {name: text_in(delta.get(name)) or None for name in _TEXTS}
        read = Delta(**texts, **{name: delta.get(name) for name in _OTHERS})
    return Event(
        text_in(plain.get("type")) or None,
        index if isinstance(index, int) and not isinstance(index, bool) else None,
        read,
        plain.get("content_block"),
        plain.get("message"),
        plain.get("usage"),
        plain.get("error"),
    )


def read_object(data: bytes) -> Object:
    """Return a JSON object; empty where the data is none."""
    try:
        found = decode(_ANY, data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def objects_in(values: Any) -> list[Object]:
    """Return the objects among the values of a list."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def text_in(value: Any) -> str:
    """Return a string; empty where the value is none."""
    return value if isinstance(value, str) else ""


def kind_of(delta: Delta) -> str:
    """Return the type of a delta that does not say it."""
    if delta.text is not None:
        return "text_delta"
    if delta.thinking is not None:
        return "thinking_delta"
    return "" if delta.partial_json is None else "input_json_delta"
