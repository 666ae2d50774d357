"""Smooth weighted round robin: shares by weight, exact over each round and evenly spread in it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import gcd

#: Places that are kept of one round; a longer one is worked out turn by turn.
MAX_KEPT = 10_000


class Round:
    """Everybody is owed their weight with each turn; who is owed most is first and pays the sum of all, as in nginx.

    After as many turns as the weights have parts all are even and it begins anew, so a short round is worked out once.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = weights
        self._owed = [0] * len(weights)
        self._total = sum(weights)
        self._turns = self._total // (gcd(*weights) or 1) or 1
        self._is_kept = self._turns * len(weights) <= MAX_KEPT
        self._orders: list[array[int]] = []
        self._next = 0

    def turn(self) -> Sequence[int]:
        """Return the places in the order of the next turn, the one owed most at the front."""
        if self._next < len(self._orders):
            order = self._orders[self._next]
        else:
            order = self._worked_out()
            if self._is_kept:
                self._orders.append(order)
        self._next = (self._next + 1) % self._turns
        return order

    def _worked_out(self) -> array[int]:
        self._owed = due = [credit + weight for credit, weight in zip(self._owed, self._weights, strict=True)]
        order = array("H", sorted(range(len(due)), key=due.__getitem__, reverse=True))
        due[order[0]] -= self._total
        return order
