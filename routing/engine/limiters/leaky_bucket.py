"""Leaky bucket: requests pass one after another at an even pace; those that come faster wait in a bounded queue."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from routing.engine.limiter import EPSILON_S, NEVER, Limiter, Options, Terms, Verdict

#: The queue holds what passes in this time, when nothing is said.
DEFAULT_QUEUE_S = 10.0


class QueueOptions(Options, frozen=True, kw_only=True):
    """`queue`: how many permits may be waited for at once; those of ten seconds when it is not said."""

    queue: int | None = None


class Pace(msgspec.Struct, array_like=True, frozen=True):
    """When the next permit is due."""

    next_s: float


class LeakyBucket(Limiter[Pace]):
    """Gives each request its time; who waits in between, and in which order, is the queue's affair."""

    options: ClassVar[type[Options]] = QueueOptions
    state: ClassVar[type[msgspec.Struct]] = Pace
    can_lease: ClassVar[bool] = False
    has_queue: ClassVar[bool] = True

    def check(self, terms: Terms) -> None:
        """Refuse a queue of less than nobody."""
        if terms.options.queue is not None and terms.options.queue < 0:
            raise ValueError("queue is a whole number from 0.")

    def size(self, terms: Terms) -> int:
        """Return the one that passes at once and those that may wait."""
        queue: int | None = terms.options.queue
        return 1 + (math.ceil(terms.rate * DEFAULT_QUEUE_S) if queue is None else queue)

    def most(self, terms: Terms) -> float:
        """Return no bound: a large request holds up those behind it."""
        return math.inf if terms.limit else 0

    def new(self, terms: Terms, now_s: float) -> Pace:
        """Return a bucket that nothing drips from."""
        return Pace(now_s)

    def take(self, terms: Terms, state: Pace, now_s: float, n: int, until_s: float = 0.0) -> tuple[Pace, Verdict]:
        """Give a time, or refuse when the queue is full."""
        if not terms.limit:
            return state, Verdict(False, NEVER)
        each_s = 1 / terms.rate
        wait_s = max(0.0, state.next_s - now_s)
        longest_s = (self.size(terms) - 1) * each_s
        if wait_s > longest_s + EPSILON_S:
            return state, Verdict(False, wait_s - longest_s)
        return Pace(now_s + wait_s + n * each_s), Verdict(True, wait_s)

    def adjust(self, terms: Terms, state: Pace, now_s: float, n: int) -> Pace:
        """Hold the next one up for longer, or for less long; a time that has passed does not come back."""
        if not terms.limit:
            return state
        return Pace(max(now_s, max(now_s, state.next_s) + n / terms.rate))

    def left(self, terms: Terms, state: Pace, now_s: float) -> int:
        """Return how many would be let in now."""
        waiting = max(0.0, state.next_s - now_s) * terms.rate
        return max(0, math.floor(self.size(terms) - waiting + EPSILON_S)) if terms.limit else 0

    def reached(self, terms: Terms, state: Pace, now_s: float, left: int) -> str:
        """Return that nobody else may wait."""
        queue = self.size(terms) - 1
        return f"its queue of {queue} is full" if queue else "one passes after another, and none may wait"

    def reset_s(self, terms: Terms, state: Pace, now_s: float) -> float:
        """Return when nobody waits any more."""
        return max(0.0, state.next_s - now_s)
