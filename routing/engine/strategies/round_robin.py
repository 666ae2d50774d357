"""Each in turn, whatever the weights."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy


class RoundRobin(Strategy):
    """The candidates in the order of the configuration, beginning one further with each request for the model."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates from the one whose turn it is."""
        start = situation.states.next_turn(situation.model) % len(candidates)
        turned = [*candidates[start:], *candidates[:start]]
        return [Ranked(candidate, number) for number, candidate in enumerate(turned, 1)]

    def words(self, number: float) -> str:
        """Return how far off its turn is."""
        return f"turn {number:g}"
