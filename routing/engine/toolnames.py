"""Names and ids of tools that fit an upstream: shortened the same way every time, restored on the way back."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LETTER = re.compile(r"[a-zA-Z_]")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_CHARS = 8


def mint_id(seed: str = "") -> str:
    """Return a call id that fits every upstream (29 characters): random, or always the same for a seed."""
    digits = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:24] if seed else secrets.token_hex(12)
    return f"call_{digits}"


def fit_id(call_id: str, pattern: str, max_chars: int) -> str:
    """Return the id where it fits, else a stand-in that is the same for a call and its result, in every request.

    The stand-in is as short as the upstream wants it: nine characters for one that takes exactly nine.
    """
    if len(call_id) <= max_chars and re.search(pattern, call_id):
        return call_id
    stand_in = mint_id(call_id or "?")
    if len(stand_in) <= max_chars and re.search(pattern, stand_in):
        return stand_in
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:max_chars]


class ToolNames:
    """One request's tool names, there and back.

    A name that is too long, or has characters that the upstream refuses, becomes its first characters and a digest, so
    that two names with the same beginning stay apart.
    """

    __slots__ = ("_back", "_max_chars", "_start", "custom")

    def __init__(self, max_chars: int = 64, custom: Iterable[str] = (), *, starts_with_letter: bool = False) -> None:
        self._max_chars = max_chars
        self._start = _LETTER if starts_with_letter else _NAME
        self._back: dict[str, str] = {}
        #: Names of the client's free-text tools: what calls one as a function has its text in `input`.
        self.custom = set(custom)

    def fit(self, name: str) -> str:
        """Return the name to send, and remember it."""
        if len(name) <= self._max_chars and _NAME.fullmatch(name) and self._start.match(name):
            return name
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARS]
        known = _FOREIGN.sub("_", name)
        known = known if self._start.match(known) else f"_{known}"
        short = f"{known[: self._max_chars - _DIGEST_CHARS - 1]}_{digest}"
        self._back[short] = name
        return short

    def restore(self, name: str) -> str:
        """Return the client's name of a tool that the upstream calls."""
        return self._back.get(name, name)

    def is_custom(self, name: str) -> bool:
        """Whether the client declared the tool (by its own name) as a free-text one."""
        return name in self.custom
