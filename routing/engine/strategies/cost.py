"""The channel where this very request costs least."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, ascending
from tenants.engine.money import NANO_PER_USD


class Cost(Strategy):
    """By the price of the request at hand.

    A channel that holds the conversation's beginning in its provider's cache reads that part at the cached price, so
    leaving it is counted as what it costs. Channels without a price come last.
    """

    is_repeatable = True

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by rising cost."""
        numbers = [math.inf if (cost := situation.cost(c)) is None else float(cost) for c in candidates]
        return ascending(candidates, numbers, situation.chance)

    def words(self, number: float) -> str:
        """Return the cost."""
        return "no price" if number == math.inf else f"{number / NANO_PER_USD:.6f} USD"
