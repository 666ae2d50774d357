"""A tool call's arguments: JSON text elsewhere, an object in Gemini."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.arguments import as_object
from routing.engine.formats.gemini.depth import is_too_deep

_encode = msgspec.json.Encoder().encode


def text_of(arguments: Any) -> str:
    """Return arguments as JSON text; a text is taken for JSON already."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else _encode(arguments).decode()


def object_of(arguments: str) -> tuple[dict[str, Any], bool]:
    """Return arguments as an object, and whether they are what was written."""
    found, is_exact = as_object(arguments)
    return ({}, False) if is_too_deep(arguments, found) else (found, is_exact)
