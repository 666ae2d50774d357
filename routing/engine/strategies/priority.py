"""Highest priority first; equals share by weight."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, shuffled


class Priority(Strategy):
    """Highest priority first; candidates of one priority share by weight, globs behind names, weight 0 last."""

    is_repeatable = True

    def order(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by falling priority, which outranks even a name."""
        ranked = super().order(candidates, situation)
        ranked.sort(key=_number, reverse=True)  # stable, also in reverse: the order within a priority survives
        return ranked

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates in a weighted random order."""
        places = shuffled(candidates, situation.chance)
        return [Ranked(candidates[at], candidates[at].channel.spec.priority) for at in places]

    def words(self, number: float) -> str:
        """Return the priority."""
        return f"priority {number:g}"


_number = attrgetter("number")
