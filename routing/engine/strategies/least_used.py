"""The channel that got the fewest tries for its weight."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, ascending


class LeastUsed(Strategy):
    """Fewest tries of this process divided by weight. A new channel begins where the least used one is."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by rising use."""
        states = situation.states
        of = [states[candidate.channel_id] for candidate in candidates]
        if None in [state.used for state in of]:
            # Begun at nothing, a newcomer would get every request until it has caught up.
            shares = [state.used * c.share for state, c in zip(of, candidates, strict=True) if state.used is not None]
            least = min(shares, default=0.0)
            for state, candidate in zip(of, candidates, strict=True):
                state.used = least / candidate.share if state.used is None else state.used
        numbers = [state.used * c.share for state, c in zip(of, candidates, strict=True)]  # type: ignore[operator]
        return ascending(candidates, numbers, situation.chance)

    def words(self, number: float) -> str:
        """Return the use."""
        return f"used {number:g} times its weight"
