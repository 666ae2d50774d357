"""JSON as it comes over the wire: decoding that also reads half surrogate pairs."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

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


# --- events whose texts may be cut in half ---------------------------------------------------------------------------

#: Where a text stands: the names of the members that lead to it, lists passed over.
Path = tuple[str, ...]
#: Longer paths are of no interest; without an end, deep nesting would cost its square.
_DEEPEST = 8


def decode_cut(decoder: msgspec.json.Decoder[T], data: bytes, cut: frozenset[Path]) -> T:
    """Return decoded data like `decode`, but leave half pairs in the texts that `cut` names: for `Halves` to join.

    The type must not hold `msgspec.Raw`.

    Raises:
        ValueError, RecursionError: see `decode`.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if mend(data) == data:
            raise
    value = json.loads(data.decode(), parse_constant=_refuse_constant)
    return msgspec.convert(_whole(value, cut), decoder.type)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _whole(value: Any, cut: frozenset[Path], path: Path = ()) -> Any:
    if isinstance(value, str):
        return value if path in cut or value.isascii() else _without_halves(value)
    if isinstance(value, list):
        return [_whole(each, cut, path) for each in value]
    if isinstance(value, dict):
        return {_without_halves(name): _whole(each, cut, (*path[:_DEEPEST], name)) for name, each in value.items()}
    return value


def _without_halves(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- members of which nobody promises the type -----------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return a text, "" for anything else."""
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int:
    """Return a count, 0 for anything that is none; some upstreams write whole numbers as floats."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        return 0
    return max(int(value), 0)


def object_of(value: Any) -> dict[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def words_of(value: Any) -> dict[str, str]:
    """Return the members of an object that are texts and say something, none for anything else."""
    return {name: each for name, each in object_of(value).items() if isinstance(each, str) and each}


def texts_of(value: Any) -> tuple[str, ...]:
    """Return the texts in a list, none for anything else."""
    return tuple(each for each in list_of(value) if isinstance(each, str) and each)


def list_of(value: Any) -> list[Any]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []
