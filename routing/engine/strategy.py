"""The contract of a strategy: in which order to try the candidates, and by which number each was ranked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import ClassVar

import msgspec

from routing.engine.messages import ChatRequest
from routing.engine.snapshot import Candidate
from routing.engine.states import TenantStates


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A candidate in its place, and the number that brought it there; `Strategy.words` says what the number means."""

    candidate: Candidate
    number: float


def _unpriced(candidate: Candidate) -> int | None:
    return None


def _unread() -> ChatRequest | None:
    return None


@dataclass(slots=True)
class Situation:
    """What a strategy may look at besides the candidates. `chance` returns the next random number in [0, 1)."""

    chance: Callable[[], float]
    #: The monotonic clock.
    now_s: float = 0.0
    #: What this process remembers of the tenant's channels: all that a strategy keeps lies here, none in itself.
    states: TenantStates = field(default_factory=TenantStates)
    client_address: str = ""
    #: The conversation, "" when it has no name.
    session: str = ""
    key_id: str = ""
    model: str = ""
    is_stream: bool = False
    #: Operations that can answer the request, the client's own first.
    operations: tuple[str, ...] = ()
    #: What this request would cost there in nano-USD, cached input minded; None without a price.
    cost: Callable[[Candidate], int | None] = _unpriced
    #: The request in canonical form; decoded by the first who asks, None where it cannot be.
    conversation: Callable[[], ChatRequest | None] = _unread


class Strategy(ABC):
    """Orders candidates. One object serves every tenant, so it keeps nothing."""

    #: What a record keeps of a request decides who is first, but for equals; turns, chance and measurements do not.
    is_repeatable: ClassVar[bool] = False

    def order(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return all candidates, the one to try first at the front.

        A channel that lists a model has it; one with a glob that matches merely may, and comes behind. Weight 0 comes
        last of all: it is asked for only when nothing else is left.
        """
        if not any(map(_place, candidates)):
            return self.rank(candidates, situation)
        places = [[c for c in candidates if c.place == place] for place in range(3)]
        return [each for group in places if group for each in self.rank(group, situation)]

    @abstractmethod
    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return candidates that are alike but for what this strategy goes by, the one to try first at the front."""

    def words(self, number: float) -> str:
        """Return what a number says, for people."""
        return f"{number:g}"


def shuffled(candidates: Sequence[Candidate], chance: Callable[[], float]) -> list[int]:
    """Return the candidates' places in a random order in which a heavier one is more likely to come first.

    Draws without replacement with `u ** (1 / weight)` as the sort key (Efraimidis and Spirakis, 2006).
    """
    draws = [-(chance() ** candidate.share) for candidate in candidates]
    return sorted(range(len(draws)), key=draws.__getitem__)


def ascending(candidates: Sequence[Candidate], numbers: Sequence[float], chance: Callable[[], float]) -> list[Ranked]:
    """Return the candidates by rising number; equals share by weight."""
    is_tied = len(set(numbers)) < len(numbers)
    places = shuffled(candidates, chance) if is_tied else list(range(len(numbers)))
    # Sorting is stable: the weighted shuffle survives among equals.
    places.sort(key=numbers.__getitem__)
    return [Ranked(candidates[at], numbers[at]) for at in places]


_place = attrgetter("place")
