"""Shares by weight, exact over each round and evenly spread in it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy


class Weighted(Strategy):
    """Smooth weighted round robin, a round for each set of channels that may serve a model."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by what they are owed."""
        ids, weights = tuple(map(_channel_id, candidates)), tuple(map(_weight, candidates))
        places = situation.states.round(situation.model, ids, weights).turn()
        return [Ranked(candidates[at], weights[at]) for at in places]

    def words(self, number: float) -> str:
        """Return the weight."""
        return f"weight {number:g}"


_channel_id, _weight = attrgetter("channel_id"), attrgetter("weight")
