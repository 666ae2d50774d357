"""The contract of a strategy: in which order to try the candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from routing.engine.snapshot import Candidate


class Strategy(ABC):
    """Orders candidates. Pure but for `chance`, which returns the next random number in [0, 1)."""

    @abstractmethod
    def order(self, candidates: Sequence[Candidate], chance: Callable[[], float]) -> list[Candidate]:
        """Return all candidates, the one to try first at the front."""


def by_weight(candidates: Sequence[Candidate], chance: Callable[[], float]) -> list[Candidate]:
    """Return the candidates shuffled so that a heavier one is more likely to come first, globs behind names.

    A channel that lists a model has it; one with a glob that matches merely may.

    Draws without replacement with `u ** (1 / weight)` as the sort key (Efraimidis and Spirakis, 2006). Weight 0 comes
    last: it is asked for only when nothing else is left.
    """
    if len(candidates) == 1:
        return list(candidates)

    def draw(candidate: Candidate) -> tuple[bool, float]:
        weight = candidate.channel.spec.weight
        return candidate.is_named, chance() ** (1.0 / weight) if weight > 0 else -1.0

    return sorted(candidates, key=draw, reverse=True)
