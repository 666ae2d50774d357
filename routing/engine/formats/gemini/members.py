"""Reading a client's JSON: members by either of their two spellings, of the type they must have, or a clear refusal."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from routing.engine.errors import BadRequest

Members = dict[str, Any]


def camel(value: Members) -> Members:
    """Return an object with its names in camelCase: Google's APIs take snake_case as well."""
    for name in value:
        if "_" in name:
            return {_camel(name): each for name, each in value.items()}
    return value


@lru_cache(maxsize=512)
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest) if head else name


def wrong(path: str, value: Any, wanted: str) -> BadRequest:
    """Return the refusal of a value that is not of the type that its place wants."""
    return BadRequest(f"`{path}` must be {wanted}, not {_kind(value)}.", param=path)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "an object")


def an_object(value: Any, path: str) -> Members:
    """Return an object, an empty one for null.

    Raises:
        BadRequest: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(path, value, "an object")
    return camel(value)


def a_list(value: Any, path: str) -> list[Any]:
    """Return a list, an empty one for null; a single object stands for a list of one.

    Raises:
        BadRequest: it is something else.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise wrong(path, value, "a list")
    return value


def text(members: Members, name: str, path: str) -> str:
    """Return a string member, "" where it is absent.

    Raises:
        BadRequest: it is something else.
    """
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(f"{path}{name}", value, "a string")
    return value


def texts(members: Members, name: str, path: str) -> tuple[str, ...]:
    """Return a member that is a list of strings; one string stands for a list of one.

    Raises:
        BadRequest: it is something else.
    """
    value = members.get(name)
    if isinstance(value, str):
        return (value,)
    for place, each in enumerate(a_list(value, f"{path}{name}")):
        if not isinstance(each, str):
            raise wrong(f"{path}{name}[{place}]", each, "a string")
    return tuple(value or ())


def flag(members: Members, name: str, path: str) -> bool | None:
    """Return a boolean member, None where it is absent.

    Raises:
        BadRequest: it is something else.
    """
    value = members.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong(f"{path}{name}", value, "a boolean")


def number(members: Members, name: str, path: str) -> float | None:
    """Return a number member, None where it is absent.

    Raises:
        BadRequest: it is something else.
    """
    value = members.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise wrong(f"{path}{name}", value, "a number")


def integer(members: Members, name: str, path: str) -> int | None:
    """Return a whole number, which may be written as 64.0 or, being an int64, as "64"; None where it is absent.

    Raises:
        BadRequest: it is something else.
    """
    value = members.get(name)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    found = number(members, name, path)
    if found is None or isinstance(found, int):
        return found
    if not found.is_integer():
        raise wrong(f"{path}{name}", value, "a whole number")
    return int(found)
