"""Accounts: slices of quotas that this process drew off the request path and reserves from in memory (ADR 13)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg

from analytics.engine.journal import Entry, Journal, JournalFull
from analytics.engine.ledger import Drawn, Ledger, Standing
from analytics.engine.record import RequestRecord
from routing.engine.errors import Unavailable
from tenants.engine.ids import new_id
from tenants.engine.limits import QuotaSpec
from tenants.engine.quota import Span, window_at

log = logging.getLogger("routex.quotas")
T = TypeVar("T")

#: How long a slice belongs to a process that is not heard of; what it had under way is charged after that.
LEASE_S: Final = 60.0
#: How long a request waits, over all its quotas, for what others will give back.
WAIT_S: Final = 5.0
#: How often a process looks whether others need what it holds.
TICK_S: Final = 0.25
#: After so long without a request, what is held of a quota goes back.
IDLE_S: Final = 5.0
#: A first slice is worth so many requests like the first.
FIRST_REQUESTS: Final = 8


@dataclass(slots=True)
class Lease:
    """A slice of a quota that this process drew: `amount` of it, of which `used` is spent and `reserved` may be."""

    id: str
    amount: int = 0
    used: int = 0
    reserved: int = 0
    #: What the ledger was told of `used`, ahead of the charges.
    told: int = 0
    #: Until when it is ours without being renewed, by the monotonic clock.
    good_until_s: float = 0.0

    @property
    def free(self) -> int:
        """Return what may still be reserved; less than nothing after an answer that cost more than its worst case."""
        return self.amount - self.used - self.reserved

    def covers(self, amount: int, now_s: float) -> bool:
        """Whether so much may be reserved now without asking anybody."""
        return amount <= self.amount - self.used - self.reserved and now_s < self.good_until_s


@dataclass(slots=True)
class Account:
    """One quota's current window in this process."""

    spec: QuotaSpec
    tenant_id: str
    span: Span
    lease: Lease
    #: Whoever finds too little waits here, in the order of coming; only the first speaks to the ledger.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Draws and what is given back take turns, or one would undo the other.
    exchange: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Something was given back or drawn.
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    #: What a second's requests lately reserved; the size of slices.
    demand: int = 0
    asked: int = 0
    asked_at_s: float = 0.0
    is_refilling: bool = False
    #: The amount was lowered: what lies idle goes back at once.
    is_lowered: bool = False
    #: Until when nobody needs to ask the ledger again whether the quota is used up, and what was spent then.
    used_up_until_s: float = 0.0
    spent: int = 0


@dataclass(slots=True)
class Reservation:
    """What one request may take from one account at most."""

    account: Account
    lease: Lease
    amount: int
    slot: int
    #: A channel's quota is charged only when that channel answers.
    channel_id: str = ""


class Accounts:
    """The accounts of one process. `take` and `settle` touch memory alone; all else happens beside the requests."""

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self.now_s = now_s
        self._folder = folder
        self._journal: Journal | None = None
        #: By tenant and quota.
        self._accounts: dict[tuple[str, str], Account] = {}
        #: Accounts of windows that are over, until their last request ended.
        self._past: list[Account] = []
        #: Slots of requests that ended, until the ledger has their charges.
        self._unwritten: dict[str, list[int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        #: The ledger did not answer when it was asked last.
        self.is_away = False

    def account(self, spec: QuotaSpec, tenant_id: str, zone: str) -> Account:
        """Return the account of a quota's window that is now."""
        key = (tenant_id, spec.id)
        account = self._accounts.get(key)
        now_s = self.now_s()
        if account is None or not account.span.holds(now_s):
            if account is not None:
                self._past.append(account)
            span = window_at(spec.window, zone, now_s)
            account = self._accounts[key] = Account(spec, tenant_id, span, Lease(new_id("lea")))
        elif account.spec is not spec:
            account.is_lowered = account.is_lowered or spec.amount < account.spec.amount
            account.spec, account.used_up_until_s = spec, 0.0
        return account

    def known(self, spec: QuotaSpec, tenant_id: str) -> Account | None:
        """Return the account of a quota's window that is now, if there is one here already."""
        account = self._accounts.get((tenant_id, spec.id))
        return account if account is not None and account.span.holds(self.now_s()) else None

    # --- in memory ---------------------------------------------------------------------------------------------

    def take(
        self, account: Account, amount: int, request: tuple[str, str, int], *, is_first: bool = False
    ) -> Reservation | None:
        """Reserve an amount for a request (id, key, start in microseconds); None when it is not there right now.

        Raises:
            Unavailable: too many requests are under way to write one more down.
        """
        lease = account.lease
        account.asked_at_s = now_s = self.clock()
        if not lease.covers(amount, now_s) or (account.turn.locked() and not is_first):
            return None
        request_id, key_id, started_us = request
        if self._journal is None:
            self._journal = Journal(self._folder, self.ledger.process)
        spec = account.spec
        entry = Entry(
            request_id, account.tenant_id, key_id, spec.id, lease.id, amount, account.span.start_s, started_us,
            spec.kind == "usd",
        )  # fmt: skip
        try:
            slot = self._journal.open(entry)
        except JournalFull:
            raise Unavailable(
                "Too many requests wait for their cost to be written down. Try again shortly.", code="ledger_away",
                retry_after_s=2,
            ) from None  # fmt: skip
        lease.reserved += amount
        account.asked += amount
        if not account.is_refilling and lease.free * 2 < account.demand:
            account.is_refilling = True
            self._beside(self._refill(account))
        return Reservation(account, lease, amount, slot)

    def settle(self, reservation: Reservation, request_id: str, amount: int) -> None:
        """Take the true amount and give the rest back to the account."""
        lease = reservation.lease
        lease.reserved -= reservation.amount
        lease.used += amount
        reservation.account.changed.set()
        assert self._journal is not None
        if amount:
            self._journal.settle(reservation.slot, amount)
            self._unwritten.setdefault(request_id, []).append(reservation.slot)
        else:
            self._journal.free(reservation.slot)

    def written(self, records: Sequence[RequestRecord]) -> None:
        """Forget requests whose charges are in the ledger."""
        for record in records:
            if record.charges and (slots := self._unwritten.pop(record.id, None)) and self._journal is not None:
                for slot in slots:
                    self._journal.free(slot)

    # --- beside the requests -----------------------------------------------------------------------------------

    async def draw(self, account: Account, least: int, *, floor: int = 0, want: int = 0) -> Drawn:
        """Add `least` or more to the account's lease, or nothing; see `Ledger.draw`.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away.
        """
        # To its end, whoever waits: what was drawn and not noted would lie idle until the lease ends.
        try:
            return await asyncio.shield(self._beside(self._draw(account, least, floor, want)))
        except (psycopg.Error, OSError) as error:
            self._away(error)
            raise

    async def _draw(self, account: Account, least: int, floor: int, want: int) -> Drawn:
        async with account.exchange:
            await self._keep_lease(account)
            lease, asked_s = account.lease, self.clock()
            drawn = await self.ledger.draw(
                tenant_id=account.tenant_id,
                quota_id=account.spec.id,
                start_s=account.span.start_s,
                lease_id=lease.id,
                limit=account.spec.amount,
                least=least,
                floor=floor,
                want=want,
            )
            self.is_away = False
            if drawn.amount:
                lease.amount += drawn.amount
                lease.good_until_s = asked_s + self.ledger.lease_s
                account.changed.set()
            return drawn

    async def _keep_lease(self, account: Account) -> None:
        """Renew a lease that is past its time; take a new one where somebody wrote it off meanwhile."""
        lease, asked_s = account.lease, self.clock()
        if not lease.amount or asked_s < lease.good_until_s:
            return
        if lease.id in await self.ledger.renew([lease.id]):
            lease.good_until_s = asked_s + self.ledger.lease_s
        else:
            account.lease = Lease(new_id("lea"))

    async def _refill(self, account: Account) -> None:
        try:
            await self._draw(account, 0, 0, account.demand)
        except (psycopg.Error, OSError) as error:
            self._away(error)
        finally:
            account.is_refilling = False

    @property
    def is_in_use(self) -> bool:
        """Whether any quota was asked for yet."""
        return bool(self._accounts)

    def is_good(self, account: Account) -> bool:
        """Whether the account's slice may be used without asking first."""
        return self.clock() < account.lease.good_until_s

    async def standing(self, account: Account) -> Standing:
        """Return how the account's window stands in the ledger."""
        return await self.ledger.standing(account.spec.id, account.span.start_s, account.lease.id)

    async def give_back(self, account: Account) -> None:
        """Return what nobody reserved, and tell what is spent."""
        async with account.exchange:
            lease = account.lease
            amount, used = max(0, lease.free), lease.used
            if amount or used != lease.told:
                # First here, then there: should it fail, it lies idle until the lease ends, and nobody has it twice.
                lease.amount -= amount
                await self.ledger.give_back(lease.id, amount, used)
                lease.told = used

    async def tick(self) -> None:
        """Do what has to be done a few times a second while anything is held."""
        now_s = self.clock()
        for account in self._accounts.values():
            account.demand = max(round(account.asked / TICK_S), account.demand * 7 // 8)
            account.asked = 0
        try:
            await self._renew(now_s)
            await self._give_back_idle(now_s)
        except (psycopg.Error, OSError) as error:
            self._away(error)
        self._past = [account for account in self._past if account.lease.reserved or account.lease.free > 0]

    async def _renew(self, now_s: float) -> None:
        held = [account.lease for account in self._all() if account.lease.amount > account.lease.used]
        due = [lease for lease in held if lease.good_until_s - now_s < self.ledger.lease_s * 2 / 3]
        if due:
            ours = await self.ledger.renew([lease.id for lease in due])
            for lease in due:
                if lease.id in ours:
                    lease.good_until_s = now_s + self.ledger.lease_s

    async def _give_back_idle(self, now_s: float) -> None:
        holding = [each for each in self._all() if each.lease.free > 0 or each.lease.used != each.lease.told]
        if not holding:
            return
        short = await self.ledger.short([(account.spec.id, account.span.start_s) for account in holding])
        over_s = self.now_s()
        for account in holding:
            is_idle = now_s - account.asked_at_s > IDLE_S or account.is_lowered
            if is_idle or account.spec.id in short or not account.span.holds(over_s):
                account.is_lowered = False
                await self.give_back(account)

    def _all(self) -> list[Account]:
        return [*self._accounts.values(), *self._past]

    async def close(self) -> None:
        """Give everything back. Charges must have been written before; else the journal stays for the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TICK_S)
        journal = self._journal
        if journal is not None and not journal.used:
            try:
                await self.ledger.close_leases(self.ledger.process)
            except (psycopg.Error, OSError) as error:
                self._away(error)
        if journal is not None:
            journal.close()
        await self.ledger.close()

    def _beside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _away(self, error: BaseException) -> None:
        if not self.is_away:
            log.warning("The ledger of quotas is away; what is drawn may still be used: %s", type(error).__name__)
        self.is_away = True
