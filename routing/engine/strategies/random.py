"""By chance alone, heavier ones more often; priority does not count."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, shuffled


class Random(Strategy):
    """Every candidate is first with a probability in proportion to its weight, whatever came before."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates in a weighted random order."""
        return [Ranked(candidates[at], candidates[at].weight) for at in shuffled(candidates, situation.chance)]

    def words(self, number: float) -> str:
        """Return the weight."""
        return f"weight {number:g}"
