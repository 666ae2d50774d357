"""Checked reading of a client's JSON: each member of the type it should have, or a sentence that says where not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from routing.engine.errors import BadRequest


def wrong(path: str, value: Any, wanted: str) -> BadRequest:
    """Return the refusal of a value: what it is, what was found, what is wanted."""
    return BadRequest(f"`{path}` must be {wanted}, not {_kind(value)}.", param=path)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text `{value[:40]}`"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "an object"


class Fields:
    """The members of one JSON object and its place in the body; null counts as absent."""

    __slots__ = ("members", "path", "taken")

    def __init__(self, members: Any, path: str = "") -> None:
        if not isinstance(members, dict):
            raise wrong(path, members, "an object")
        self.members: dict[str, Any] = members
        self.path = path
        self.taken: set[str] = set()

    def place(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        """Return a member as it is, None when absent."""
        self.taken.add(name)
        return self.members.get(name)

    def text(self, name: str) -> str:
        """Return a string, "" when absent."""
        value = self.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(self.place(name), value, "a string")
        return value

    def needed(self, name: str) -> str:
        """Return a string that must be there."""
        value = self.text(name)
        if not value:
            raise BadRequest(f"`{self.place(name)}` is missing.", param=self.place(name))
        return value

    def flag(self, name: str) -> bool | None:
        """Return true or false, None when absent."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.place(name), value, "true or false")
        return value

    def number(self, name: str) -> float | None:
        """Return a number, None when absent."""
        value = self.get(name)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise wrong(self.place(name), value, "a number")

    def count(self, name: str) -> int | None:
        """Return a whole number (`5.0` counts as one), None when absent."""
        value = self.number(name)
        if isinstance(value, float):
            if not value.is_integer():
                raise wrong(self.place(name), value, "a whole number")
            return int(value)
        return value

    def table(self, name: str) -> dict[str, Any] | None:
        """Return an object, None when absent."""
        value = self.get(name)
        if value is not None and not isinstance(value, dict):
            raise wrong(self.place(name), value, "an object")
        return value

    def inner(self, name: str) -> Fields:
        """Return the members of an object, none when absent."""
        return Fields(self.table(name) or {}, self.place(name))

    def items(self, name: str) -> Iterator[tuple[Any, str]]:
        """Give each element of a list with its path; nothing when absent."""
        value = self.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise wrong(self.place(name), value, "a list")
        for place, each in enumerate(value):
            yield each, f"{self.place(name)}[{place}]"

    def rest(self) -> dict[str, Any]:
        """Return the members that nobody asked for and that say something."""
        return {name: value for name, value in self.members.items() if name not in self.taken and value is not None}
