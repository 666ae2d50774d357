"""Arguments of a call that come in pieces: `partialArgs`, each a value and the JSON path of its place."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from routing.engine.formats.gemini.members import camel

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\[["']([^\]]*?)["']\]""")
_MAX_STEPS = 64
#: How many elements of lists are made: a path may name an index far behind the last.
_MAX_ELEMENTS = 100_000
_VALUES = ("stringValue", "numberValue", "boolValue")


class PartialArgs:
    """An object that grows piece by piece; the pieces of a string are joined once, at the end."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._made = 0
        self._strings: dict[str, tuple[Any, str | int, list[str]]] = {}

    def add(self, pieces: Any) -> None:
        """Add pieces; what cannot be read is left out."""
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._put(camel(piece))

    def _put(self, piece: dict[str, Any]) -> None:
        path = piece.get("jsonPath")
        if not isinstance(path, str):
            return
        value = next((piece[key] for key in _VALUES if piece.get(key) is not None), None)
        if isinstance(value, str) and path in self._strings:
            self._strings[path][2].append(value)
            return
        steps = [int(index) if index else name or quoted for name, index, quoted in _STEP.findall(path[:2000])]
        if not steps or len(steps) > _MAX_STEPS or isinstance(steps[0], int):
            return
        within: Any = self._root
        for step, following in pairwise(steps):
            within = self._child(within, step, [] if isinstance(following, int) else {})
        if self._set(within, steps[-1], value) and isinstance(value, str):
            self._strings[path] = (within, steps[-1], [value])

    def _child(self, within: Any, step: str | int, fresh: Any) -> Any:
        """Return what lies at a step, made when nothing does; None where nothing can."""
        found = None
        if isinstance(within, dict) and isinstance(step, str):
            found = within.get(step)
        elif isinstance(within, list) and isinstance(step, int) and step < len(within):
            found = within[step]
        if isinstance(found, type(fresh)):
            return found
        return fresh if self._set(within, step, fresh) else None

    def _set(self, within: Any, step: str | int, value: Any) -> bool:
        if isinstance(within, dict) and isinstance(step, str):
            within[step] = value
            return True
        if isinstance(within, list) and isinstance(step, int):
            missing = max(step + 1 - len(within), 0)
            self._made += missing
            if self._made <= _MAX_ELEMENTS:
                within.extend([None] * missing)
                within[step] = value
                return True
        return False

    def whole(self) -> dict[str, Any]:
        """Return the object."""
        for within, step, pieces in self._strings.values():
            within[step] = "".join(pieces)
        return self._root
