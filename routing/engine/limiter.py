"""The contract of a limiter: a pure algorithm over a small state, the same wherever the state lies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from tenants.engine.limits import LimitSpec

#: What a request that can never pass is told to wait.
NEVER = math.inf
#: Floating-point clocks of today's size are exact to a quarter of a microsecond.
EPSILON_S = 1e-6


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every limit may be told; limiters add their own.

    `on_outage` says what counts while the shared counters are away: this process's own, or nothing passes.
    """

    on_outage: Literal["local", "closed"] = "local"


class Terms(msgspec.Struct, frozen=True):
    """A limit as its limiter sees it: `limit` permits in `window_s` seconds. `holder` is this process."""

    limit: int
    window_s: float
    options: Any
    holder: str = ""

    @property
    def rate(self) -> float:
        """Return permits per second."""
        return self.limit / self.window_s


class Verdict(msgspec.Struct, frozen=True):
    """Granted, or what to wait for before asking again; a queue's grant is good after its wait."""

    granted: bool
    wait_s: float = 0.0


GRANTED = Verdict(True)
State = TypeVar("State", bound=msgspec.Struct)


class Limiter(ABC, Generic[State]):
    """One algorithm. States are values: no method changes the one that it is given.

    Clocks of several processes differ by milliseconds, so a state may be a little younger than `now_s`.
    """

    options: ClassVar[type[Options]] = Options
    state: ClassVar[type[msgspec.Struct]]
    #: What it can count.
    kinds: ClassVar[frozenset[str]] = frozenset({"requests", "tokens"})
    #: Permits may be taken ahead of their use.
    can_lease: ClassVar[bool] = True
    #: A grant may come with a wait, which is spent in a fair queue.
    has_queue: ClassVar[bool] = False
    #: Permits are held while they are used and come back: `renew` says again how many this process holds.
    is_held: ClassVar[bool] = False

    @abstractmethod
    def new(self, terms: Terms, now_s: float) -> State:
        """Return the state of a limit that nobody has used."""

    @abstractmethod
    def take(self, terms: Terms, state: State, now_s: float, n: int, until_s: float = 0.0) -> tuple[State, Verdict]:
        """Take `n` permits, all or none; `until_s` is when at the latest they are used, if that is not now.

        The wait of a refusal is true: whoever asks again after it passes, unless others came first.
        """

    @abstractmethod
    def adjust(self, terms: Terms, state: State, now_s: float, n: int) -> State:
        """Return the state when `n` more were used than were taken, or fewer (below zero): those are given back."""

    @abstractmethod
    def left(self, terms: Terms, state: State, now_s: float) -> int:
        """Return how many permits could be taken now, never below zero."""

    @abstractmethod
    def reset_s(self, terms: Terms, state: State, now_s: float) -> float:
        """Return after how many seconds the state is as good as new."""

    def reached(self, terms: Terms, state: State, now_s: float, left: int) -> str:
        """Return how full the limit is that refused somebody, with so many permits left, as a person says it."""
        return f"{max(0, terms.limit - left)}/{terms.limit}"

    def size(self, terms: Terms) -> int:
        """Return how many permits there are at once when nobody uses any."""
        return terms.limit

    def most(self, terms: Terms) -> float:
        """Return how many permits one request can ever get."""
        return terms.limit

    def heard(self, terms: Terms, state: State, now_s: float, successes: int, refusals: int) -> State:
        """Learn how often upstreams took what was let through, and how often they called it too much (429)."""
        return state

    def renew(self, terms: Terms, state: State, now_s: float, held: int) -> State:
        """Say how many permits this process holds, used or not."""
        return state

    def check(self, terms: Terms) -> None:
        """Raise ValueError when the options make no sense together with the limit."""


def per_second(terms: Terms) -> int:
    """Return one second's permits, at least one: the burst that a paced limiter takes by default."""
    return max(1, math.ceil(terms.rate))


def window_text(spec: LimitSpec) -> str:
    """Return what a limit allows, as a person says it: `60 requests/min`."""
    if spec.kind == "concurrency":
        return f"{spec.limit} parallel requests"
    words = {1: "s", 60: "min", 3600: "h", 86_400: "day"}
    each = f"/{words[spec.window_s]}" if spec.window_s in words else f" per {spec.window_s} s"
    return f"{spec.limit} {spec.kind}{each}"
