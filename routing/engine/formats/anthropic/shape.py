"""The shape that a request's members must have, told with their path where they have another."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.body import read_members
from routing.engine.errors import BadRequest
from routing.engine.wirejson import decode

Object = dict[str, Any]

_BODY: msgspec.json.Decoder[Object] = msgspec.json.Decoder(Object)
_WORDS = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}


def read_body(body: bytes) -> Object:
    """Return a request's members.

    Raises:
        BadRequest: the body is no JSON object; the text says where.
    """
    try:
        return decode(_BODY, body)
    except (ValueError, RecursionError) as error:
        read_members(body)
        raise BadRequest("Body cannot be read as JSON.", code="invalid_json") from error


def wrong(path: str, wanted: str, value: Any) -> BadRequest:
    """Return the refusal of a value: which, what it must be, what it is."""
    found = "null" if value is None else _WORDS.get(type(value), "true or false")
    return BadRequest(f"`{path}` must be {wanted}, not {found}.", param=path)


def text_of(value: Any, path: str) -> str:
    """Return a string; null is the empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(path, "a string", value)
    return value


def object_of(value: Any, path: str) -> Object:
    """Return an object; null is the empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(path, "an object", value)
    return value


def list_of(value: Any, path: str) -> list[Any]:
    """Return a list; null is the empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(path, "a list", value)
    return value


def number_of(value: Any, path: str) -> float | None:
    """Return a number, None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(path, "a number", value)
    return value


def count_of(value: Any, path: str, least: int = 0) -> int | None:
    """Return a whole number of at least `least`, None where there is none."""
    number = number_of(value, path)
    if number is None:
        return None
    if not float(number).is_integer() or number < least:
        raise BadRequest(f"`{path}` must be a whole number of at least {least}, not {number}.", param=path)
    return int(number)


def flag_of(value: Any, path: str) -> bool | None:
    """Return a boolean, None where there is none."""
    if value is not None and not isinstance(value, bool):
        raise wrong(path, "true or false", value)
    return value


def rest_of(members: Object, known: frozenset[str]) -> Object:
    """Return the members that are not known and say something."""
    return {name: value for name, value in members.items() if name not in known and value is not None}
