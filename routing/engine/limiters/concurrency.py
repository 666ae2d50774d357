"""Concurrency: so many requests at once; each process says what it holds, and one that died is forgotten."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from routing.engine.limiter import GRANTED, NEVER, Limiter, Terms, Verdict

#: A process that has not said for so long what it holds, holds nothing.
HOLD_S = 15.0
#: When a permit comes back nobody can know; a client may ask again after this.
WAIT_S = 1.0


class Held(msgspec.Struct, array_like=True, frozen=True):
    """Process → how many it holds, and until when that is believed."""

    holders: dict[str, tuple[int, float]]


class Concurrency(Limiter[Held]):
    """Counts what is in use."""

    state: ClassVar[type[msgspec.Struct]] = Held
    kinds: ClassVar[frozenset[str]] = frozenset({"concurrency"})
    is_held: ClassVar[bool] = True

    def new(self, terms: Terms, now_s: float) -> Held:
        """Return that nobody holds any."""
        return Held({})

    def take(self, terms: Terms, state: Held, now_s: float, n: int, until_s: float = 0.0) -> tuple[Held, Verdict]:
        """Take if so many are free."""
        alive = _alive(state, now_s)
        if sum(count for count, _ in alive.values()) + n > terms.limit:
            return state, Verdict(False, NEVER if n > terms.limit else WAIT_S)
        alive[terms.holder] = (alive.get(terms.holder, (0, 0.0))[0] + n, now_s + HOLD_S)
        return Held(alive), GRANTED

    def adjust(self, terms: Terms, state: Held, now_s: float, n: int) -> Held:
        """Hold more, or fewer."""
        held = _alive(state, now_s).get(terms.holder, (0, 0.0))[0]
        return self.renew(terms, state, now_s, max(0, held + n))

    def renew(self, terms: Terms, state: Held, now_s: float, held: int) -> Held:
        """Say what this process holds."""
        alive = _alive(state, now_s)
        alive.pop(terms.holder, None)
        if held:
            alive[terms.holder] = (held, now_s + HOLD_S)
        return Held(alive)

    def left(self, terms: Terms, state: Held, now_s: float) -> int:
        """Return how many are free."""
        return max(0, terms.limit - sum(count for count, _ in _alive(state, now_s).values()))

    def reset_s(self, terms: Terms, state: Held, now_s: float) -> float:
        """Return when every process would be forgotten."""
        return max((until_s - now_s for _, until_s in state.holders.values()), default=0.0)


def _alive(state: Held, now_s: float) -> dict[str, tuple[int, float]]:
    return {holder: entry for holder, entry in state.holders.items() if entry[1] > now_s}
