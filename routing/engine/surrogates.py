"""Text that an upstream cut in the middle of a surrogate pair: `\\ud83d` in one piece, `\\ude00` in the next."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any


def decode_with_halves(data: bytes) -> Any:
    """Return decoded JSON in which half surrogate pairs are kept, for `Halves` to join.

    Only for data that no other decoder takes: it is slow, and such text cannot be encoded again.

    Raises:
        ValueError: the data is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(data)


class Halves:
    """Joins what was cut, each stream of text (its `key`) for itself; a half that stays alone becomes U+FFFD."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def join(self, key: Hashable, text: str) -> str:
        """Return the text with what was held back before it, less a first half at its end, which is held back."""
        text = self._held.pop(key, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[key] = text[-1]
            text = text[:-1]
        return whole(text)

    def rest(self) -> dict[Hashable, str]:
        """Return U+FFFD for each half that is still held, by its key, and hold nothing any more."""
        rest = {key: whole(text) for key, text in self._held.items()}
        self._held.clear()
        return rest


def whole(text: str) -> str:
    """Return text with its pairs joined and every half alone as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
