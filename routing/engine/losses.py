"""Losses: what a translation could not carry whole, as stable codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from routing.engine.errors import BadRequest

#: What a name may not hold, since codes stand in a header, parted by commas; many names are the client's own words.
_UNFIT = re.compile(r"[^!-+\--~]")
_MAX_NAME_CHARS = 80
#: What a client's `spelling` calls the thinking in its own messages, where that is not `thinking`.
EARLIER_THINKING = "earlier_thinking"
#: How many losses a refusal names.
_MAX_NAMED = 20


def listed(codes: Sequence[str], max_chars: int) -> str:
    """Return codes with commas between them; those beyond the limit are one `more:<count>` at the end."""
    text = ", ".join(codes)
    if len(text) <= max_chars:
        return text
    room = max_chars - len(f", more:{len(codes)}")
    kept = text[: room + 1].rpartition(", ")[0]
    count = kept.count(", ") + 1 if kept else 0
    return ", ".join(filter(None, [kept, f"more:{len(codes) - count}"]))


def lossy(served: str, drops: Sequence[str]) -> BadRequest:
    """Return the refusal of a request from which something would be lost; `served` says where it would go."""
    named = ", ".join(f"`{name}`" for name in drops[:_MAX_NAMED])
    if len(drops) > _MAX_NAMED:
        named += f" and {len(drops) - _MAX_NAMED} more"
    return BadRequest(
        f"{served}, where {named} would be lost. Leave it out, ask another model, or leave out x-routex-strict.",
        code="lossy_translation",
        param=drops[0],
    )


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
        """Return what was lost altogether, in the client's own words; strict mode refuses these."""
        names = (code.removeprefix("dropped:") for code in self._codes if code.startswith("dropped:"))
        return tuple(name for name in names if self.spelled(name) == name)

    def dropped(self, name: str) -> None:
        """Note that something did not arrive at all, even where it was to be kept by other means."""
        for each in (name, self.spelled(name)):
            self._codes.pop(f"emulated:{each}", None)
        self._note("dropped", name)

    def left_behind(self) -> None:
        """Note that thinking of earlier turns did not arrive: `thinking`, but not what says how much to think now."""
        self._note("dropped", "thinking", EARLIER_THINKING)

    def emulated(self, name: str) -> None:
        """Note that the meaning was kept by other means."""
        self._note("emulated", name)

    def clamped(self, name: str) -> None:
        """Note that a number was brought within the upstream's limits."""
        self._note("clamped", name)

    def _note(self, what: str, name: str, feature: str = "") -> None:
        if len(name) > _MAX_NAME_CHARS or _UNFIT.search(name):
            name = _UNFIT.sub("_", name[:_MAX_NAME_CHARS])
        self._codes[f"{what}:{name}"] = None
        if (own := self._spelling.get(feature or name)) is not None:
            self._codes[f"{what}:{own}"] = None

    def spelled(self, name: str) -> str:
        """Return a feature's name in the client's format."""
        return self._spelling.get(name, name)
