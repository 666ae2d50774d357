"""JSON as it comes over the wire: decoding that also reads half surrogate pairs."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

# An escaped backslash, a whole pair, or one half alone.
_ESCAPE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """Return the decoded data, half surrogate pairs read as U+FFFD.

    JavaScript cuts strings in the middle of a pair and upstreams cut deltas there; JSON's grammar allows it.

    Raises:
        ValueError: the data is no JSON (msgspec.DecodeError, UnicodeDecodeError), or of another shape
            (msgspec.ValidationError).
        RecursionError: it is nested too deeply.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = mend(bytes(data))
        if mended == data:
            raise
        return decoder.decode(mended)


def mend(data: bytes) -> bytes:
    """Return a twin of the same length, half surrogate pairs replaced."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], data)


def is_json(data: bytes) -> bool:
    """Whether the data is one JSON value."""
    try:
        decode(_ANY, data)
    except (ValueError, RecursionError):
        return False
    return True


_ANY = msgspec.json.Decoder(msgspec.Raw)
