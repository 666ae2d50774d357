"""The channel with the fewest requests in flight for its weight."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, ascending


class LeastConnections(Strategy):
    """Fewest unfinished answers of this process divided by weight; equals share by weight."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by rising load."""
        states = situation.states
        numbers = [states[c.channel_id].in_flight * c.share for c in candidates]
        return ascending(candidates, numbers, situation.chance)

    def words(self, number: float) -> str:
        """Return the load."""
        return f"{number:g} in flight for its weight"
