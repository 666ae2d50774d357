"""The channel whose first content comes soonest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, ascending, shuffled

#: Share of requests that go to a channel by chance: one that was slow an hour ago need not be slow now.
EXPLORED = 0.05


class Latency(Strategy):
    """By the moving average of the time to the first content, per channel, model and kind of answer.

    A channel that was never measured goes first, for one request at a time, since nothing better is known of it.
    """

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by rising time."""
        states, is_stream = situation.states, situation.is_stream
        numbers = []
        for candidate in candidates:
            state = states[candidate.channel_id]
            known = state.speed(candidate.upstream_model, is_stream)
            numbers.append((math.inf if state.in_flight else -1.0) if known is None else known)
        ranked = ascending(candidates, numbers, situation.chance)
        if situation.chance() < EXPLORED:
            chosen = candidates[shuffled(candidates, situation.chance)[0]]
            ranked.sort(key=lambda each: each.candidate is not chosen)
        return ranked

    def words(self, number: float) -> str:
        """Return the time."""
        if number < 0:
            return "not measured yet"
        return "being measured" if number == math.inf else f"{number:.0f} ms"
