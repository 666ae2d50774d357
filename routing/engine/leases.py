"""Limits over many processes: permits from shared counters, a few at a time, settled in batches; exact near the limit.

Every change is one compare-and-set of the limiter's state. Far from the limit the account takes
some permits ahead (a lease) and says in the shared state until when it may hold unused ones; whoever would be refused
waits for that moment and asks again, so that no permit is lost to a lease.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from routing.engine.account import Account, Standing, Taken
from routing.engine.limiter import NEVER, Verdict
from routing.engine.store import Store, StoreAway
from tenants.engine.limits import LimitSpec

#: How long unused permits may be held; a tenth of a shorter window.
LEASE_S = 0.5
#: The part of it after which they are given back: who waits for them asks again when the lease is over.
GIVEN_BACK = 0.8
#: Longest that a request waits for other processes' unused permits, and how often it looks.
PATIENCE_S = 1.0
LOOK_S = 0.1
#: How soon what was settled goes to the shared counters.
SETTLE_S = 0.25
#: How often a process says what it holds.
HEARTBEAT_S = 4.0


class _Shared(msgspec.Struct, array_like=True, frozen=True):
    """What lies in the store: the limiter's state, and until when each process may hold unused permits."""

    state: msgspec.Raw
    leases: dict[str, float]


_encode = msgspec.msgpack.Encoder().encode
_decode_shared = msgspec.msgpack.Decoder(_Shared).decode


@dataclass(slots=True)
class _Waiter:
    n: int
    answer: asyncio.Future[Taken]
    #: When it stops waiting for other processes' leases; set with the first refusal.
    give_up_s: float = 0.0


@dataclass(slots=True)
class _Plan:
    """One compare-and-set that is being tried: the new state and what follows when it took."""

    state: Any
    leases: dict[str, float]
    verdicts: list[Verdict]
    ahead: int
    until_s: float
    #: There is something to write.
    is_change: bool


class LeasedAccount(Account):
    """A limit whose counts lie in a store that other processes use as well."""

    def __init__(self, store: Store, tenant_id: str, spec: LimitSpec, holder: str) -> None:
        # Last seen in the store; `_raw` is what the next compare-and-set expects there.
        self._raw: bytes | None = None
        self._state: Any = None
        self._leases: dict[str, float] = {}
        # Permits taken ahead, and until when they may be used.
        self._free = 0
        self._until_s = 0.0
        # What the shared state does not know yet.
        self._owed = 0
        self._successes = 0
        self._refusals = 0
        # Places came back that the store still counts.
        self._is_unsaid = False
        self._is_due = False
        # Recent demand, in permits per second.
        self._rate = 0.0
        self._asked = 0
        self._asked_since_s = 0.0
        self._waiters: deque[_Waiter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        #: When it is due by the loop's clock; uvloop gives handles that cannot say it.
        self._due_s = 0.0
        self._is_closing = False
        super().__init__(store, tenant_id, spec, holder)

    def bind(self, spec: LimitSpec) -> None:
        """Go by a spec from now on."""
        super().bind(spec)
        self._lease_s = min(LEASE_S, self._terms.window_s / 10)
        self._decode = msgspec.msgpack.Decoder(self._limiter.state).decode

    def take_at_once(self, n: int) -> Taken | None:
        """Take permits from the lease, or by the limit's own choice while the store is away; None otherwise."""
        now_s = self.used_at_s = self._store.now_s()
        if n > self._limiter.most(self._terms):
            return Taken(False, NEVER, self._left(now_s))
        if self._store.is_away:
            return self._take_on_outage(n, now_s)
        self._asked += n
        if self._free >= n and now_s < self._until_s and not self._waiters:
            self._free -= n
            self._hold(n)
            return Taken(True, 0.0, self._left(now_s))
        return None

    async def _ask(self, n: int) -> Taken:
        waiter = _Waiter(n, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._wake()
        return await waiter.answer

    def give_back(self, n: int) -> None:
        """Put back what was taken and not used, or what is not used any more; never waits."""
        if not self._limiter.is_held or self._store.is_away:
            super().give_back(n)
            return
        self._held = max(0, self._held - n)
        if self._store.now_s() < self._until_s and not self._waiters:
            self._free += n  # other processes know that there may be unused ones here
        else:
            self._is_unsaid = True
            self._flush_in(0.0)

    def adjust(self, n: int) -> None:
        """Note that `n` more were used than were taken, or fewer; never waits."""
        if self._store.is_away:
            super().adjust(n)
        else:
            self._owed += n
            self._flush_in(SETTLE_S)

    def hear(self, *, is_refusal: bool) -> None:
        """Note whether an upstream took what was let through, or called it too much."""
        if self._store.is_away:
            super().hear(is_refusal=is_refusal)
        else:
            self._successes += not is_refusal
            self._refusals += is_refusal
            self._flush_in(0.0 if is_refusal else SETTLE_S)

    async def standing(self) -> Standing:
        """Return how the limit stands in the shared counters, minding what they do not know of this process yet."""
        try:
            raw = await self._store.get(self.key)
        except StoreAway:
            standing = await super().standing()
            return standing._replace(is_closed=self._terms.options.on_outage == "closed")
        reader = copy.copy(self)
        reader._is_closing = True  # takes nothing ahead
        reader._learn(raw)
        now_s = self._store.now_s()
        plan = reader._plan(now_s, [], self._owed, self._free, self._successes, self._refusals)
        return Standing(plan.state, self._held, max(plan.leases.values(), default=0.0))

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it loses nothing that is counted here."""
        return self._task is None and not self._waiters and not self._has_news and super().is_idle

    async def close(self) -> None:
        """Give back what is unused, and what was in use: nothing runs any more."""
        self._is_closing = True
        self._is_unsaid = self._is_unsaid or self._held > 0
        self._held = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_news:
            self._is_due = True
            self._wake()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._timer is not None:
            self._timer.cancel()

    def _state_at(self, now_s: float) -> Any:
        # What was last known of the shared counters, so that an outage is no gift.
        return super()._state_at(now_s) if self._local is not None or self._state is None else self._state

    def _left(self, now_s: float) -> int:
        return super()._left(now_s) + self._free

    def _take_on_outage(self, n: int, now_s: float) -> Taken:
        if self._terms.options.on_outage == "closed":
            return Taken(False, 1.0, is_closed=True)
        return self._take_locally(n, now_s)

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name="limit")

    def _flush_in(self, after_s: float) -> None:
        """Bring what is owed to the store, at the latest after so many seconds."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + after_s
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._timer, self._due_s = loop.call_at(due_s, self._flush), due_s

    def _flush(self) -> None:
        self._timer = None
        if self._has_news:
            self._is_due = True
            self._wake()

    @property
    def _has_news(self) -> bool:
        """Whether the store should hear from this process; what it holds has to be said again and again."""
        return bool(self._free or self._owed or self._held or self._successes or self._refusals or self._is_unsaid)

    async def _serve(self) -> None:
        """Answer all who wait, in as few compare-and-sets as it takes."""
        try:
            while self._waiters or self._is_due:
                is_due, self._is_due = self._is_due, False
                await self._round(is_due)
        except StoreAway:
            self._outage()
        except BaseException as error:
            waiters, self._waiters = self._waiters, deque()
            for waiter in waiters:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            raise
        finally:
            self._task = None

    async def _round(self, is_due: bool) -> None:
        """Bring one change to the store, for all who wait now; `is_due`: even if nobody does."""
        waiters = self._still_waiting()
        self._learn_demand()
        # Nobody takes from what is being given back, and what comes back meanwhile needs a round of its own.
        back, self._free, self._until_s, self._is_unsaid = self._free, 0, 0.0, False
        owed, successes, refusals = self._owed, self._successes, self._refusals
        is_fresh, failures = False, 0
        try:
            if not self._store.has_clock:
                self._learn(await self._store.get(self.key))
                is_fresh = True
            while True:
                now_s = self._store.now_s()
                plan = self._plan(now_s, waiters, owed, back, successes, refusals)
                if not is_due and not plan.is_change:
                    if is_fresh:
                        break
                    # Nobody is refused on hearsay.
                    self._learn(await self._store.get(self.key))
                    is_fresh = True
                    continue
                raw = _encode(_Shared(msgspec.Raw(_encode(plan.state)), plan.leases))
                ttl_s = self._limiter.reset_s(self._terms, plan.state, now_s) + PATIENCE_S + 5
                took, there = await self._store.swap(self.key, self._raw, raw, min(ttl_s, 30 * 86_400))
                if took:
                    self._raw = raw
                    break
                self._learn(there)
                is_fresh = True
                failures += 1
                if failures > 2:
                    await asyncio.sleep(random.random() * 0.002 * min(failures, 10))  # noqa: S311 no secret
        except StoreAway:
            if self._limiter.is_held:
                self._is_unsaid = True
            else:
                self._owed -= back
            raise
        self._owed -= owed
        self._successes -= successes
        self._refusals -= refusals
        self._commit(plan, waiters)
        if self._waiters:
            await asyncio.sleep(self._pause_s(plan))
            self._is_due = True

    def _plan(self, now_s: float, waiters: list[_Waiter], owed: int, back: int, successes: int, refusals: int) -> _Plan:
        limiter, terms = self._limiter, self._terms
        state = self._state if self._state is not None else limiter.new(terms, now_s)
        if limiter.is_held:
            state = limiter.renew(terms, state, now_s, self._held)
        elif owed - back:
            state = limiter.adjust(terms, state, now_s, owed - back)
        if successes or refusals:
            state = limiter.heard(terms, state, now_s, successes, refusals)
        verdicts: list[Verdict] = []
        for waiter in waiters:
            state, verdict = limiter.take(terms, state, now_s, waiter.n)
            verdicts.append(verdict)
        leases = {holder: until_s for holder, until_s in self._leases.items() if until_s > now_s}
        leases.pop(self._holder, None)
        ahead, until_s = 0, now_s + self._lease_s
        if limiter.can_lease and not self._is_closing and all(verdict.granted for verdict in verdicts):
            room = limiter.left(terms, state, now_s) - limiter.size(terms) // 2
            wanted = min(room, int(self._rate * self._lease_s))
            if wanted > 0:
                state, verdict = limiter.take(terms, state, now_s, wanted, until_s)
                ahead = wanted if verdict.granted else 0
        if ahead:
            leases[self._holder] = until_s
        is_change = bool(owed or back or successes or refusals or ahead) or any(each.granted for each in verdicts)
        return _Plan(state, leases, verdicts, ahead, until_s, is_change)

    def _commit(self, plan: _Plan, waiters: list[_Waiter]) -> None:
        """Answer the waiters whose change took; who may still get another process's unused permits goes on waiting."""
        now_s = self._store.now_s()
        self._state, self._leases, self._local = plan.state, plan.leases, None
        self._free, self._until_s = plan.ahead, plan.until_s if plan.ahead else 0.0
        others_s = max((until_s for holder, until_s in plan.leases.items() if holder != self._holder), default=0.0)
        for waiter, verdict in zip(waiters, plan.verdicts, strict=True):
            if waiter.answer.done():
                if verdict.granted:  # the client left while its permits were fetched
                    self._hold(waiter.n)
                    self.give_back(waiter.n)
            elif verdict.granted:
                self._hold(waiter.n)
                self._answer(waiter, verdict, now_s)
            else:
                waiter.give_up_s = waiter.give_up_s or now_s + PATIENCE_S
                if now_s < min(others_s, waiter.give_up_s):
                    continue
                self._answer(waiter, verdict, now_s)
        self._still_waiting()
        if self._free:
            self._flush_in(self._lease_s * GIVEN_BACK)
        elif self._held:
            self._flush_in(HEARTBEAT_S)

    def _still_waiting(self) -> list[_Waiter]:
        """Forget those who have their answer, or left, and return the others."""
        self._waiters = deque(waiter for waiter in self._waiters if not waiter.answer.done())
        return list(self._waiters)

    def _answer(self, waiter: _Waiter, verdict: Verdict, now_s: float) -> None:
        waiter.answer.set_result(Taken(verdict.granted, verdict.wait_s, self._left(now_s)))

    def _pause_s(self, plan: _Plan) -> float:
        soonest_s = min((until_s for holder, until_s in plan.leases.items() if holder != self._holder), default=0.0)
        return min(LOOK_S, max(0.01, soonest_s - self._store.now_s()))

    def _learn(self, raw: bytes | None) -> None:
        """Take in what lies in the store; what cannot be read (of another version) counts as nothing."""
        self._raw, self._state, self._leases = raw, None, {}
        if raw is None:
            return
        try:
            shared = _decode_shared(raw)
            self._state, self._leases = self._decode(shared.state), shared.leases
        except msgspec.DecodeError:
            return

    def _learn_demand(self) -> None:
        now_s = self._store.now_s()
        passed_s = max(1e-3, now_s - self._asked_since_s)
        self._rate += (self._asked / passed_s - self._rate) * min(1.0, passed_s / self._lease_s)
        self._asked, self._asked_since_s = 0, now_s

    def _outage(self) -> None:
        """Answer everyone by the limit's own choice, and go on trying to settle once a second."""
        now_s = self._store.now_s()
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.answer.done():
                waiter.answer.set_result(self._take_on_outage(waiter.n, now_s))
        if self._has_news:
            self._flush_in(PATIENCE_S)
