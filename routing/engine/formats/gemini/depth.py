"""How deep JSON may lie in JSON: what can just be read can no longer be written one call further down."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 200


def is_too_deep(data: bytes | str, value: Any) -> bool:
    """Whether a decoded value lies deeper than is safe; nearly always the count of its brackets says no."""
    brackets = data.count(b"{") + data.count(b"[") if isinstance(data, bytes) else data.count("{") + data.count("[")
    if brackets <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            each
            for holder in level
            for each in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True
