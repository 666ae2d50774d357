"""JSON whose strings are cut inside a surrogate pair: the halves are kept, so that the next piece completes them."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.formats.gemini.depth import is_too_deep
from routing.engine.wirejson import decode_halves

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decode(data: bytes) -> tuple[Any, bool]:
    """Return decoded data, and whether its texts may begin or end with half a pair.

    Only members named `text` keep such halves, at their ends; any other is read as U+FFFD.

    Raises:
        ValueError: the data is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        found, is_mended = _ANY.decode(data), False
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\u" not in data:
            raise
        found, is_mended = _mended(decode_halves(data)), True
    if isinstance(found, dict | list) and is_too_deep(data, found):
        raise RecursionError
    return found, is_mended


def _mended(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {whole(key): _mended(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if not isinstance(value, str):
        return value
    if name != "text":
        return whole(value)
    first = value[:1] if "\udc00" <= value[:1] <= "\udfff" else ""
    last = value[-1:] if "\ud800" <= value[-1:] <= "\udbff" else ""
    return first + whole(value[len(first) : len(value) - len(last)]) + last


def whole(text: str) -> str:
    """Return text with each half that lacks its other half read as U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
