"""Sliding window: never more than the limit in any window, wherever it begins."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import ClassVar

import msgspec

from routing.engine.limiter import EPSILON_S, GRANTED, NEVER, Limiter, Terms, Verdict

#: Permits of one fortieth of the window are kept together, under the time of the last: they run out together.
PARTS = 40


class Used(msgspec.Struct, array_like=True, frozen=True):
    """When permits were taken, rising, and how many each time; `total` is their sum."""

    stamps: list[float]
    counts: list[int]
    total: int


class SlidingWindow(Limiter[Used]):
    """Remembers each permit until a whole window has passed since it was used at the latest."""

    state: ClassVar[type[msgspec.Struct]] = Used

    def new(self, terms: Terms, now_s: float) -> Used:
        """Return an empty window."""
        return Used([], [], 0)

    def take(self, terms: Terms, state: Used, now_s: float, n: int, until_s: float = 0.0) -> tuple[Used, Verdict]:
        """Take if the window has room."""
        state = _passed(terms, state, now_s)
        over = state.total + n - terms.limit
        if over <= 0:
            return _added(terms, state, max(now_s, until_s), n), GRANTED
        if n > terms.limit:
            return state, Verdict(False, NEVER)
        for stamp, count in zip(state.stamps, state.counts, strict=True):
            over -= count
            if over <= 0:
                return state, Verdict(False, stamp + terms.window_s - now_s)
        raise AssertionError("the counts do not add up to their total")

    def adjust(self, terms: Terms, state: Used, now_s: float, n: int) -> Used:
        """Count more now; give back the oldest, so that what is left is never remembered for too short."""
        state = _passed(terms, state, now_s)
        if n > 0:
            return _added(terms, state, now_s, n)
        counts, back = list(state.counts), min(-n, state.total)
        left, first = back, 0
        while left:
            part = min(left, counts[first])
            counts[first] -= part
            left -= part
            first += not counts[first]
        return Used(state.stamps[first:], counts[first:], state.total - back)

    def left(self, terms: Terms, state: Used, now_s: float) -> int:
        """Return what the window has room for."""
        return max(0, terms.limit - _passed(terms, state, now_s).total)

    def reset_s(self, terms: Terms, state: Used, now_s: float) -> float:
        """Return when the last permit runs out."""
        return max(0.0, state.stamps[-1] + terms.window_s - now_s) if state.stamps else 0.0


def _passed(terms: Terms, state: Used, now_s: float) -> Used:
    """Return the state without what has run out."""
    start_s = now_s - terms.window_s + EPSILON_S  # who waited exactly as told is not refused by a rounding
    if not state.stamps or state.stamps[0] > start_s:
        return state
    first = bisect_right(state.stamps, start_s)
    return Used(state.stamps[first:], state.counts[first:], state.total - sum(state.counts[:first]))


def _added(terms: Terms, state: Used, stamp: float, n: int) -> Used:
    stamps, counts = state.stamps.copy(), state.counts.copy()
    part_s = terms.window_s / PARTS
    part = stamp // part_s
    # Nearly always the newest by far.
    place = len(stamps) if not stamps or stamps[-1] < stamp else bisect_left(stamps, stamp)
    if place < len(stamps) and stamps[place] // part_s == part:
        counts[place] += n
    elif place and stamps[place - 1] // part_s == part:
        stamps[place - 1] = stamp
        counts[place - 1] += n
    else:
        stamps.insert(place, stamp)
        counts.insert(place, n)
    return Used(stamps, counts, state.total + n)
