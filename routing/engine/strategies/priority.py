"""Highest priority first; equals share by weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Strategy, by_weight


class Priority(Strategy):
    """Highest priority first; candidates of one priority share by weight."""

    def order(self, candidates: Sequence[Candidate], chance: Callable[[], float]) -> list[Candidate]:
        """Return the candidates by falling priority."""
        # Sorting is stable: the weighted shuffle survives among equals.
        return sorted(by_weight(candidates, chance), key=lambda candidate: -candidate.channel.spec.priority)
