"""How much a request lets its answer have, as its own format says it, and how that is lowered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from routing.engine.body import Members, read_any, splice

#: Where a member stands: its name, or its name inside another one.
Path = tuple[str, ...]

_encode: Final = msgspec.json.Encoder().encode


def whole_numbers(members: Members, paths: Sequence[Path]) -> list[int]:
    """Return the positive whole numbers at the places."""
    found = [_at(members, path) for path in paths if path[0] in members]
    return [number for number in found if isinstance(number, int) and not isinstance(number, bool) and number > 0]


def capped(body: bytes, members: Members, paths: Sequence[Path], tokens: int) -> bytes:
    """Return the body with every limit of its answer set to so many tokens; it gets the first one if it has none."""
    present = [path for path in paths if _at(members, path) is not None] or [*paths[:1]]
    changes: dict[str, Any] = {}
    for path in present:
        name, *inner = path
        if inner:
            outer = changes.get(name) or read_any(members, name)
            changes[name] = {**(outer if isinstance(outer, dict) else {}), inner[0]: tokens}
        else:
            changes[name] = tokens
    return splice(body, members, {name: _encode(value) for name, value in changes.items()})


def _at(members: Members, path: Path) -> Any:
    value = read_any(members, path[0])
    for name in path[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value
