"""Account: one limit as this process counts it by itself, and the fair queue of those who wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from routing.engine.fair_queue import FairQueue, Flow
from routing.engine.limiter import NEVER, window_text
from routing.engine.limiters import limiter_of, terms_of
from routing.engine.store import Store
from tenants.engine.limits import LimitSpec


class Taken(msgspec.Struct, frozen=True):
    """What became of an ask: granted or not, the wait of a refusal, and how the limit stands."""

    granted: bool
    wait_s: float = 0.0
    left: int = 0
    #: How long the request stood in a queue.
    waited_s: float = 0.0
    #: Nothing was counted: the shared counters are away, and this limit then lets nothing through.
    is_closed: bool = False


class Standing(NamedTuple):
    """How a limit stands: the limiter's state, and what this process holds of it where permits come back."""

    state: Any
    held: int = 0
    #: Until when other processes may hold permits that they do not need, and give back.
    others_until_s: float = 0.0
    #: The shared counters are away, and the limit then lets nothing through.
    is_closed: bool = False


class Account:
    """Counts in the memory of this process. Nothing in here waits for anything while it is changed."""

    def __init__(self, store: Store, tenant_id: str, spec: LimitSpec, holder: str) -> None:
        self._store = store
        self._holder = holder
        self.key = f"{tenant_id}:limit:{spec.id}:{'concurrency' if spec.kind == 'concurrency' else spec.algorithm}"
        self.used_at_s = 0.0
        self._queue: FairQueue | None = None
        #: The limiter's state, None until somebody asks.
        self._local: Any = None
        #: Permits in use, where they come back.
        self._held = 0
        self.bind(spec)

    def bind(self, spec: LimitSpec) -> None:
        """Go by a spec from now on: a limit that was changed keeps what is counted."""
        self.spec = spec
        #: The limit as a person says it.
        self.text = window_text(spec)
        self._limiter = limiter_of(spec.kind, spec.algorithm)
        self._terms = terms_of(spec, self._holder)

    async def take(self, n: int, flow: Flow) -> Taken:
        """Take permits, all or none; may wait in the limit's queue."""
        taken = self.take_at_once(n)
        if taken is None:
            taken = await self._ask(n)
        if self._limiter.has_queue:
            return await self._queued(taken, flow)
        return taken

    def take_at_once(self, n: int) -> Taken | None:
        """Take permits if that needs nobody else; None otherwise."""
        now_s = self.used_at_s = self._store.now_s()
        if n > self._limiter.most(self._terms):
            return Taken(False, NEVER, self._left(now_s))
        return self._take_locally(n, now_s)

    async def _ask(self, n: int) -> Taken:
        raise NotImplementedError  # nobody else has to be asked

    def give_back(self, n: int) -> None:
        """Put back what was taken and not used, or what is not used any more; never waits."""
        if not self._limiter.is_held:
            self.adjust(-n)
            return
        self._held = max(0, self._held - n)
        if self._local is not None:
            self._local = self._limiter.renew(self._terms, self._local, self._store.now_s(), self._held)

    def adjust(self, n: int) -> None:
        """Note that `n` more were used than were taken, or fewer; never waits."""
        if self._local is not None:
            self._local = self._limiter.adjust(self._terms, self._local, self._store.now_s(), n)

    def hear(self, *, is_refusal: bool) -> None:
        """Note whether an upstream took what was let through, or called it too much."""
        now_s = self._store.now_s()
        self._local = self._limiter.heard(self._terms, self._state_at(now_s), now_s, not is_refusal, is_refusal)

    async def standing(self) -> Standing:
        """Return how the limit stands, everywhere where it is counted; changes nothing."""
        return Standing(self._state_at(self._store.now_s()), self._held)

    def would_make_room(self, flow: Flow) -> bool:
        """Whether somebody who waits for this limit would lose their place to that flow."""
        return self._queue is not None and self._queue.would_make_room(flow)

    def reached(self, left: int) -> str:
        """Return how full the limit is that refused, with so many permits left, as a person says it."""
        now_s = self._store.now_s()
        return self._limiter.reached(self._terms, self._state_at(now_s), now_s, left)

    def left(self) -> int:
        """Return how many permits could be taken now, as far as this process knows."""
        return self._left(self._store.now_s())

    def now_s(self) -> float:
        """Return the time by which the limit is counted, in seconds since the epoch."""
        return self._store.now_s()

    def reset_s(self, now_s: float) -> float:
        """Return after how many seconds the limit is as good as unused."""
        return self._limiter.reset_s(self._terms, self._state_at(now_s), now_s)

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it loses nothing that is counted here."""
        now_s = self._store.now_s()
        return not self._held and now_s > self.used_at_s + self.reset_s(now_s)

    async def close(self) -> None:
        """End; there is nothing to hand over."""

    def _state_at(self, now_s: float) -> Any:
        return self._local if self._local is not None else self._limiter.new(self._terms, now_s)

    def _take_locally(self, n: int, now_s: float) -> Taken:
        state = self._state_at(now_s)
        if self._limiter.is_held:
            state = self._limiter.renew(self._terms, state, now_s, self._held)
        self._local, verdict = self._limiter.take(self._terms, state, now_s, n)
        if verdict.granted:
            self._hold(n)
        return Taken(verdict.granted, verdict.wait_s, self._left(now_s))

    def _hold(self, n: int) -> None:
        if self._limiter.is_held:
            self._held += n

    def _left(self, now_s: float) -> int:
        return self._limiter.left(self._terms, self._state_at(now_s), now_s)

    async def _queued(self, taken: Taken, flow: Flow) -> Taken:
        """Wait for the time that was given, in turn with the other flows."""
        queue = self._queue = self._queue or FairQueue()
        if taken.granted:
            turn = queue.join(flow)
            if taken.wait_s > 0:
                asyncio.get_running_loop().call_later(taken.wait_s, queue.call_next)
            else:
                queue.call_next()
        elif taken.is_closed or (displaced := queue.displace(flow, taken.wait_s)) is None:
            return taken
        else:
            turn = displaced
        began_s = self._store.now_s()
        try:
            wait_s = await turn
        except asyncio.CancelledError:
            queue.leave(flow, turn)
            raise
        waited_s = self._store.now_s() - began_s
        return msgspec.structs.replace(taken, granted=not wait_s, wait_s=wait_s, waited_s=waited_s)


@dataclass(slots=True)
class Grant:
    """What one request took from one limit."""

    account: Account
    spec: LimitSpec
    n: int
    taken: Taken
