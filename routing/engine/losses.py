"""Losses: what a translation could not carry whole, as stable codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Losses:
    """Collects codes in the order they came up, each once: `dropped:x`, `emulated:x`, `clamped:x`.

    Every feature has one name, whatever formats meet; where the client's format calls it otherwise (`spelling`), the
    loss is told under that name as well, so that its author finds it in what they wrote.
    """

    __slots__ = ("_codes", "_spelling")

    def __init__(self, spelling: Mapping[str, str] | None = None) -> None:
        self._codes: dict[str, None] = {}
        self._spelling = spelling or {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> tuple[str, ...]:
        """Return all codes."""
        return tuple(self._codes)

    @property
    def drops(self) -> tuple[str, ...]:
        """Return the names of what was lost altogether; strict mode refuses these."""
        return tuple(code.removeprefix("dropped:") for code in self._codes if code.startswith("dropped:"))

    def dropped(self, name: str) -> None:
        """Note that something did not arrive at all."""
        self._note("dropped", name)

    def emulated(self, name: str) -> None:
        """Note that the meaning was kept by other means."""
        self._note("emulated", name)

    def clamped(self, name: str) -> None:
        """Note that a number was brought within the upstream's limits."""
        self._note("clamped", name)

    def _note(self, what: str, name: str) -> None:
        self._codes[f"{what}:{name}"] = None
        if (own := self._spelling.get(name)) is not None:
            self._codes[f"{what}:{own}"] = None

    def spelled(self, name: str) -> str:
        """Return a feature's name in the client's format."""
        return self._spelling.get(name, name)
