"""The same session, the same channel; the same key where a request has no session."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.hashing import scattered
from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy


class ConsistentHash(Strategy):
    """By session, else by key: shares by weight, and few sessions move when a channel comes or goes."""

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates in the session's own order."""
        return scattered(candidates, situation.session or situation.key_id)

    def words(self, number: float) -> str:
        """Return the score."""
        return f"score {number:.3f} by session"
