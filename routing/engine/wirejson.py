"""JSON as it comes over the wire: decoding that also reads half surrogate pairs."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

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


def decode_halves(data: bytes) -> Any:
    """Return the decoded data, half surrogate pairs left as they are in its strings: for `Halves` to join.

    Raises:
        ValueError: the data is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(data.decode("utf-8", "replace"))


class Halves:
    """Joins surrogate pairs that were cut in two between the deltas of one text."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        #: The first half of a pair, kept until its other half comes.
        self.held = ""

    def join(self, text: str) -> str:
        """Return the next delta as it can be told: whole characters, a half without its other half as U+FFFD."""
        text, self.held = self.held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self) -> str:
        """Return what is told at the end of the text: a half that stayed alone, as U+FFFD."""
        held, self.held = self.held, ""
        return "\ufffd" if held else ""


def is_json(data: bytes) -> bool:
    """Whether the data is one JSON value."""
    try:
        decode(_ANY, data)
    except (ValueError, RecursionError):
        return False
    return True


_ANY = msgspec.json.Decoder(msgspec.Raw)
