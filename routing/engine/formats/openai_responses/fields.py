"""Members of a client's body, each taken with its path, so that a wrong one can be named."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.body import read_members, unknown_word
from routing.engine.errors import BadRequest
from routing.engine.wirejson import decode

_BODY = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode
_FOUND = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def body_of(body: bytes) -> dict[str, Any]:
    """Return a request's body.

    Raises:
        BadRequest: it is no JSON object; the text says where it stops being one.
    """
    try:
        return decode(_BODY, body)
    except (ValueError, RecursionError) as error:
        read_members(body)
        raise BadRequest("Body is nested too deeply to be read.", code="invalid_json") from error


def wrong(value: Any, path: str, wanted: str) -> BadRequest:
    """Return the error that says what a member must be and what was found instead."""
    return BadRequest(f"`{path}` must be {wanted}, not {_FOUND[type(value)]}.", param=path)


def missing(path: str, wanted: str) -> BadRequest:
    """Return the error that says that a member is not there."""
    return BadRequest(f"`{path}` is missing; it must be {wanted}.", param=path)


def text(value: Any, path: str) -> str:
    """Return a string, an empty one for null."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(value, path, "a string")
    return value


def flag(value: Any, path: str) -> bool | None:
    """Return a boolean, None for null."""
    if value is not None and not isinstance(value, bool):
        raise wrong(value, path, "true or false")
    return value


def number(value: Any, path: str) -> float | None:
    """Return a number, None for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(value, path, "a number")
    return value


def whole(value: Any, path: str) -> int | None:
    """Return a whole number, None for null."""
    found = number(value, path)
    if isinstance(found, float) and not found.is_integer():
        raise BadRequest(f"`{path}` must be a whole number, not {found}.", param=path)
    return None if found is None else int(found)


def record(value: Any, path: str) -> dict[str, Any]:
    """Return an object, an empty one for null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(value, path, "an object")
    return value


def rows(value: Any, path: str) -> list[Any]:
    """Return a list, an empty one for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(value, path, "a list")
    return value


def words(value: Any, path: str) -> list[str]:
    """Return a list of strings, an empty one for null."""
    given = rows(value, path)
    for place, each in enumerate(given):
        if not isinstance(each, str):
            raise wrong(each, f"{path}[{place}]", "a string")
    return given


def wrong_word(word: str, path: str, words: tuple[str, ...]) -> BadRequest:
    """Return the error that says which words a member may be."""
    return unknown_word(word, path, words)


def json_text(value: Any) -> str:
    """Return JSON as text; text is taken for JSON already, null for nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
