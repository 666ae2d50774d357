"""Registry: name → dotted path, imported on first use; outside packages join by entry point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class UnknownName(KeyError):
    """No entry of that name; the message lists the names there are."""

    def __init__(self, group: str, name: str, known: list[str]) -> None:
        super().__init__(f"{group}: {name!r} is not known; known are: {', '.join(known)}")

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Generic[T]):
    """A table of implementations, each one instance, made on first use.

    `group` is also the entry-point group for outside packages. `ROUTEX_PLUGINS` (comma-separated names) narrows
    which outside entries may load; unset means all.
    """

    def __init__(self, group: str, package: str, entries: dict[str, str]) -> None:
        self.group = group
        self._package = package
        self._paths = dict(entries)
        self._made: dict[str, T] = {}
        self._looked_outside = False

    def __contains__(self, name: str) -> bool:
        return name in self._paths or name in self._with_outside()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._with_outside()))

    def __getitem__(self, name: str) -> T:
        """Return the implementation.

        Raises:
            UnknownName: nothing of that name is registered.
        """
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(name)
        return made

    def _make(self, name: str) -> T:
        path = self._paths.get(name) or self._with_outside().get(name)
        if path is None:
            raise UnknownName(self.group, name, list(self))
        module, _, attribute = path.partition(":")
        factory: Any = getattr(import_module(module, self._package), attribute)
        made: T = factory()
        return made

    def _with_outside(self) -> dict[str, str]:
        if not self._looked_outside:
            self._looked_outside = True
            allowed = {name for name in os.environ.get("ROUTEX_PLUGINS", "").split(",") if name}
            for entry in entry_points(group=self.group):
                if not allowed or entry.name in allowed:
                    self._paths.setdefault(entry.name, entry.value)
        return self._paths
