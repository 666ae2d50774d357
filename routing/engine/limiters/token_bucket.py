"""Token bucket: permits come steadily and are kept up to `burst`."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from routing.engine.limiter import EPSILON_S, GRANTED, NEVER, Limiter, Options, Terms, Verdict


class BucketOptions(Options, frozen=True, kw_only=True):
    """`burst`: how many permits are kept while nobody takes any; the limit itself when it is not said."""

    burst: int | None = None


class Bucket(msgspec.Struct, array_like=True, frozen=True):
    """How full it was, and when. Below zero: more was used than was admitted."""

    level: float
    at_s: float


class TokenBucket(Limiter[Bucket]):
    """Lets bursts through, and the rate on average."""

    options: ClassVar[type[Options]] = BucketOptions
    state: ClassVar[type[msgspec.Struct]] = Bucket

    def check(self, terms: Terms) -> None:
        """Refuse a burst of nothing."""
        if terms.options.burst is not None and terms.options.burst < 1:
            raise ValueError("burst is a whole number from 1.")

    def size(self, terms: Terms) -> int:
        """Return the burst."""
        burst: int | None = terms.options.burst
        return terms.limit if burst is None else burst

    def most(self, terms: Terms) -> float:
        """Return the burst; nothing when nothing ever comes in."""
        return self.size(terms) if terms.limit else 0

    def new(self, terms: Terms, now_s: float) -> Bucket:
        """Return a full bucket."""
        return Bucket(self.size(terms), now_s)

    def take(self, terms: Terms, state: Bucket, now_s: float, n: int, until_s: float = 0.0) -> tuple[Bucket, Verdict]:
        """Take if there are so many."""
        state = self._filled(terms, state, now_s)
        if state.level + EPSILON_S * max(1.0, terms.rate) >= n:
            return Bucket(state.level - n, state.at_s), GRANTED
        if n > self.most(terms):
            return state, Verdict(False, NEVER)
        return state, Verdict(False, (n - state.level) / terms.rate)

    def adjust(self, terms: Terms, state: Bucket, now_s: float, n: int) -> Bucket:
        """Take more, into debt if need be, or put back what fits."""
        state = self._filled(terms, state, now_s)
        return Bucket(min(self.size(terms), state.level - n), state.at_s)

    def left(self, terms: Terms, state: Bucket, now_s: float) -> int:
        """Return how many whole permits there are."""
        return max(0, int(self._filled(terms, state, now_s).level + EPSILON_S))

    def reached(self, terms: Terms, state: Bucket, now_s: float, left: int) -> str:
        """Return what is there of the burst."""
        return f"{left} left of a burst of {self.size(terms)}"

    def reset_s(self, terms: Terms, state: Bucket, now_s: float) -> float:
        """Return when the bucket is full."""
        missing = self.size(terms) - self._filled(terms, state, now_s).level
        return missing / terms.rate if terms.limit else 0.0

    def _filled(self, terms: Terms, state: Bucket, now_s: float) -> Bucket:
        if now_s <= state.at_s:
            return state
        return Bucket(min(self.size(terms), state.level + (now_s - state.at_s) * terms.rate), now_s)
