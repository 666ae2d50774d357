"""Smooth weighted round robin: shares by weight, exact over each round and evenly spread in it."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy


class Weighted(Strategy):
    """Every candidate is owed its weight with each request; the one owed most is first and pays the sum of all."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by what they are owed."""
        owed = situation.states.credits(situation.model)
        specs = [candidate.channel.spec for candidate in candidates]
        due = [owed.get(spec.id, 0.0) + spec.weight for spec in specs]
        for spec, credit in zip(specs, due, strict=True):
            owed[spec.id] = credit
        places = sorted(range(len(due)), key=due.__getitem__, reverse=True)
        owed[specs[places[0]].id] -= sum([spec.weight for spec in specs])
        return [Ranked(candidates[at], specs[at].weight) for at in places]

    def words(self, number: float) -> str:
        """Return the weight."""
        return f"weight {number:g}"
