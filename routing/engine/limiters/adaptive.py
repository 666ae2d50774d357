"""Adaptive: finds out how much an upstream takes, adding a little while it does and cutting when it says 429."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from routing.engine.limiter import EPSILON_S, GRANTED, NEVER, Limiter, Options, Terms, Verdict, per_second


class AdaptiveOptions(Options, frozen=True, kw_only=True):
    """Shares of the limit: never below `floor`; plus `increase` for each limit's worth of successes; times `decrease`.

    `hold_s`: refusals so soon after a cut belong to the same overload. `burst`: how many permits are kept, one
    second's when it is not said.
    """

    floor: float = 0.1
    increase: float = 0.1
    decrease: float = 0.5
    hold_s: float = 1.0
    burst: int | None = None


class Share(msgspec.Struct, array_like=True, frozen=True):
    """How full the bucket was and when, the share of the limit in force, and when it was cut."""

    level: float
    at_s: float
    share: float = 1.0
    cut_s: float = 0.0


class Adaptive(Limiter[Share]):
    """A bucket whose rate follows the upstream; a request larger than it passes when it is full, and is paid after."""

    options: ClassVar[type[Options]] = AdaptiveOptions
    state: ClassVar[type[msgspec.Struct]] = Share

    def check(self, terms: Terms) -> None:
        """Refuse shares that are none."""
        options: AdaptiveOptions = terms.options
        if not 0 < options.floor <= 1 or not 0 < options.increase <= 1 or not 0 < options.decrease < 1:
            raise ValueError("floor, increase and decrease are shares: more than 0, at most 1, decrease below 1.")
        if not 0 <= options.hold_s <= 3600:
            raise ValueError("hold_s is from 0 to 3600 seconds.")
        if options.burst is not None and options.burst < 1:
            raise ValueError("burst is a whole number from 1.")

    def size(self, terms: Terms) -> int:
        """Return the depth at the full share."""
        burst: int | None = terms.options.burst
        return per_second(terms) if burst is None else burst

    def most(self, terms: Terms) -> float:
        """Return no bound."""
        return float("inf") if terms.limit else 0

    def new(self, terms: Terms, now_s: float) -> Share:
        """Return a full bucket: until it is told otherwise, the whole limit is in force."""
        return Share(float(self.size(terms)), now_s)

    def take(self, terms: Terms, state: Share, now_s: float, n: int, until_s: float = 0.0) -> tuple[Share, Verdict]:
        """Take if there are so many, or the bucket is full."""
        if not terms.limit:
            return state, Verdict(False, NEVER)
        state = self._filled(terms, state, now_s)
        needed = min(float(n), self._depth(terms, state.share))
        if state.level + EPSILON_S * max(1.0, terms.rate) >= needed:
            return Share(state.level - n, state.at_s, state.share, state.cut_s), GRANTED
        return state, Verdict(False, (needed - state.level) / (terms.rate * state.share))

    def adjust(self, terms: Terms, state: Share, now_s: float, n: int) -> Share:
        """Take more, into debt if need be, or put back what fits."""
        state = self._filled(terms, state, now_s)
        level = min(self._depth(terms, state.share), state.level - n)
        return Share(level, state.at_s, state.share, state.cut_s)

    def heard(self, terms: Terms, state: Share, now_s: float, successes: int, refusals: int) -> Share:
        """Cut on a refusal, once for each overload; else add."""
        if not terms.limit:
            return state
        options: AdaptiveOptions = terms.options
        state = self._filled(terms, state, now_s)
        if refusals:
            if now_s - state.cut_s < options.hold_s:
                return state
            share = max(options.floor, state.share * options.decrease)
            return Share(min(state.level, self._depth(terms, share)), state.at_s, share, now_s)
        share = min(1.0, state.share + options.increase * successes / terms.limit)
        return Share(state.level, state.at_s, share, state.cut_s)

    def left(self, terms: Terms, state: Share, now_s: float) -> int:
        """Return how many whole permits there are."""
        return max(0, int(self._filled(terms, state, now_s).level + EPSILON_S))

    def reached(self, terms: Terms, state: Share, now_s: float, left: int) -> str:
        """Return what is there of the burst, and how much of the rate the upstream takes."""
        cut = "" if state.share == 1.0 else f"; it is at {state.share:.0%} of its rate, since its upstream refused more"
        return f"{left} left of a burst of {int(self._depth(terms, state.share))}{cut}"

    def reset_s(self, terms: Terms, state: Share, now_s: float) -> float:
        """Return when the bucket is full; a share that was cut is kept for an hour."""
        if not terms.limit:
            return 0.0
        if state.share < 1.0:
            return 3600.0
        missing = self._depth(terms, state.share) - self._filled(terms, state, now_s).level
        return max(0.0, missing / (terms.rate * state.share))

    def _depth(self, terms: Terms, share: float) -> float:
        return max(1.0, self.size(terms) * share) if terms.limit else 0.0

    def _filled(self, terms: Terms, state: Share, now_s: float) -> Share:
        if now_s <= state.at_s:
            return state
        came = (now_s - state.at_s) * terms.rate * state.share
        level = min(self._depth(terms, state.share), state.level + came)
        return Share(level, now_s, state.share, state.cut_s)
