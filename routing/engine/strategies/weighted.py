"""By weight alone; priority does not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Strategy, by_weight


class Weighted(Strategy):
    """Every candidate gets a share of first tries in proportion to its weight."""

    def order(self, candidates: Sequence[Candidate], chance: Callable[[], float]) -> list[Candidate]:
        """Return the candidates in a weighted random order."""
        return by_weight(candidates, chance)
