"""The same client address, the same channel."""

from __future__ import annotations

from collections.abc import Sequence

from routing.engine.hashing import scattered
from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy


class IpHash(Strategy):
    """By the client's address: shares by weight, and few addresses move when a channel comes or goes."""

    is_repeatable = True

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates in the address's own order."""
        return scattered(candidates, situation.client_address)

    def words(self, number: float) -> str:
        """Return the score."""
        return f"score {number:.3f} by address"
