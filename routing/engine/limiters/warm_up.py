"""Warm-up: after an idle time the rate begins low and rises evenly to the full one."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from routing.engine.limiter import EPSILON_S, GRANTED, NEVER, Limiter, Options, Terms, Verdict, per_second


class WarmUpOptions(Options, frozen=True, kw_only=True):
    """`warm_up_s`: how long the rise takes; `cold`: the share it begins with; `idle_s`: when it cools down again.

    `burst`: how many permits are kept at full warmth, one second's when it is not said.
    """

    warm_up_s: float = 60.0
    cold: float = 0.2
    idle_s: float = 60.0
    burst: int | None = None


class Warmth(msgspec.Struct, array_like=True, frozen=True):
    """How full the bucket was and when, and since when it is warming up."""

    level: float
    at_s: float
    since_s: float


class WarmUp(Limiter[Warmth]):
    """A bucket whose rate and depth grow; what is larger than the bucket passes when it is full, and is paid after."""

    options: ClassVar[type[Options]] = WarmUpOptions
    state: ClassVar[type[msgspec.Struct]] = Warmth

    def check(self, terms: Terms) -> None:
        """Refuse times and shares that are none."""
        options = terms.options
        if not 0 < options.warm_up_s <= 86_400 or not 0 < options.idle_s <= 86_400:
            raise ValueError("warm_up_s and idle_s are more than 0 and at most 86400 seconds.")
        if not 0 < options.cold <= 1:
            raise ValueError("cold is a share of the limit: more than 0, at most 1.")
        if options.burst is not None and options.burst < 1:
            raise ValueError("burst is a whole number from 1.")

    def size(self, terms: Terms) -> int:
        """Return the depth at full warmth."""
        burst: int | None = terms.options.burst
        return per_second(terms) if burst is None else burst

    def most(self, terms: Terms) -> float:
        """Return no bound."""
        return math.inf if terms.limit else 0

    def new(self, terms: Terms, now_s: float) -> Warmth:
        """Return a cold bucket, as full as cold ones get."""
        return Warmth(self._depth(terms, 0.0), now_s, now_s)

    def take(self, terms: Terms, state: Warmth, now_s: float, n: int, until_s: float = 0.0) -> tuple[Warmth, Verdict]:
        """Take if there are so many, or the bucket is full."""
        if not terms.limit:
            return state, Verdict(False, NEVER)
        state = self._filled(terms, state, now_s)
        warm_s = state.at_s - state.since_s
        needed = min(float(n), self._depth(terms, warm_s))
        if state.level + EPSILON_S * max(1.0, terms.rate) >= needed:
            return Warmth(state.level - n, state.at_s, state.since_s), GRANTED
        # The bucket gets deeper meanwhile, so a large request may have to wait for more.
        while True:
            wait_s = self._time_for(terms, warm_s, needed - state.level)
            deeper = min(float(n), self._depth(terms, warm_s + wait_s))
            if deeper <= needed + EPSILON_S:
                return state, Verdict(False, wait_s + EPSILON_S)
            needed = deeper

    def adjust(self, terms: Terms, state: Warmth, now_s: float, n: int) -> Warmth:
        """Take more, into debt if need be, or put back what fits."""
        if not terms.limit:
            return state
        state = self._filled(terms, state, now_s)
        depth = self._depth(terms, state.at_s - state.since_s)
        return Warmth(min(depth, state.level - n), state.at_s, state.since_s)

    def left(self, terms: Terms, state: Warmth, now_s: float) -> int:
        """Return how many whole permits there are."""
        return max(0, int(self._filled(terms, state, now_s).level + EPSILON_S)) if terms.limit else 0

    def reached(self, terms: Terms, state: Warmth, now_s: float, left: int) -> str:
        """Return what is there of the burst, and how warm it is."""
        warm_s = self._filled(terms, state, now_s).at_s - state.since_s
        share = self._share(terms, warm_s)
        cold = "" if share == 1.0 else f"; it warms up, and is at {share:.0%} of its rate"
        return f"{left} left of a burst of {int(self._depth(terms, warm_s))}{cold}"

    def reset_s(self, terms: Terms, state: Warmth, now_s: float) -> float:
        """Return when it would be cold again."""
        options: WarmUpOptions = terms.options
        if not terms.limit:
            return 0.0
        debt_s = max(0.0, -state.level) / (terms.rate * options.cold)
        return max(0.0, state.at_s + options.idle_s + options.warm_up_s + debt_s - now_s)

    def _share(self, terms: Terms, warm_s: float) -> float:
        options: WarmUpOptions = terms.options
        return min(1.0, options.cold + (1 - options.cold) * max(0.0, warm_s) / options.warm_up_s)

    def _depth(self, terms: Terms, warm_s: float) -> float:
        return max(1.0, self.size(terms) * self._share(terms, warm_s))

    def _filled(self, terms: Terms, state: Warmth, now_s: float) -> Warmth:
        if now_s <= state.at_s:
            return state
        options: WarmUpOptions = terms.options
        warm_s = state.at_s - state.since_s
        came = self._came(terms, warm_s, now_s - state.since_s)
        if now_s - state.at_s > options.idle_s and state.level + came > 0:
            # Nobody took any for so long, and no debt was being paid off.
            return self.new(terms, now_s)
        return Warmth(min(self._depth(terms, now_s - state.since_s), state.level + came), now_s, state.since_s)

    def _came(self, terms: Terms, from_s: float, to_s: float) -> float:
        """Return the permits that come between two times of the warming up: the area under the rising rate."""
        rise_s: float = terms.options.warm_up_s
        rising_from, rising_to = min(from_s, rise_s), min(to_s, rise_s)
        shares = self._share(terms, rising_from) + self._share(terms, rising_to)
        return terms.rate * ((rising_to - rising_from) * shares / 2 + (to_s - from_s) - (rising_to - rising_from))

    def _time_for(self, terms: Terms, warm_s: float, permits: float) -> float:
        """Return how long so many permits take to come: the inverse of `_came`."""
        options: WarmUpOptions = terms.options
        rising_s = max(0.0, options.warm_up_s - warm_s)
        in_rise = self._came(terms, warm_s, warm_s + rising_s)
        if permits >= in_rise:
            return rising_s + (permits - in_rise) / terms.rate
        start = terms.rate * self._share(terms, warm_s)
        slope = terms.rate * (1 - options.cold) / options.warm_up_s
        return 2 * permits / (start + math.sqrt(start * start + 2 * slope * permits))
