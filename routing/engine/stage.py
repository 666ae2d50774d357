"""Stage: a gateway that stands as another one does now, for rehearsals: what is taken on it is taken nowhere else.

Rehearsed requests go through the very code that real ones go through. What that code would change is a copy here
(channel states, limits, accounts, sessions), and what it would ask others for is only read (the ledger, the store).
"""

from __future__ import annotations

import asyncio
import copy
import mimetypes
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from analytics.engine.ledger import Drawn
from analytics.engine.ledger import Standing as Elsewhere
from channels_app.engine.provider import UpstreamRequest, UpstreamResponse
from routing.engine.account import Account, Standing, Taken
from routing.engine.accounts import Account as QuotaAccount
from routing.engine.accounts import Accounts, Lease, Reservation
from routing.engine.fair_queue import Flow
from routing.engine.gateway import Gateway
from routing.engine.leases import LOOK_S, PATIENCE_S
from routing.engine.limits import Limits
from routing.engine.probing import Probing
from routing.engine.sessions import Name, Pin, Sessions
from routing.engine.states import ChannelStates, TenantStates
from routing.engine.store import Store
from tenants.engine.limits import LimitSpec, QuotaSpec
from tenants.engine.quota import quota_name, window_at

#: What a stage does not need: nobody looks up keys on it, and nothing that happened on it is recorded.
_NOTHING: Any = None


def staged(gateway: Gateway, tenant_id: str, unsure: list[str]) -> Gateway:
    """Return a gateway for one rehearsed request of a tenant.

    What the rehearsal cannot know, because it lies with others, is added to `unsure` in words.
    """
    budget = gateway.budget
    stage = replace(
        gateway,
        configuration=_NOTHING,
        records=_NOTHING,
        upstreams=_NoFetching(unsure),
        states=_States(gateway.states.tenant(tenant_id)),
        budget=None if budget is None else budget.over(StagedAccounts(budget.accounts, unsure)),
        store=_ReadStore(gateway.store),
    )
    stage.limits = _Limits(gateway.limits)
    stage.sessions = _Sessions(gateway.sessions, stage.store)
    stage.probing = _Probing(stage.store)
    return stage


class _States(ChannelStates):
    """The channels of one tenant, whose breakers, turns and credentials may be changed here."""

    def __init__(self, states: TenantStates) -> None:
        super().__init__()
        self._states = copy.deepcopy(states)

    def tenant(self, tenant_id: str) -> TenantStates:
        return self._states


class _ReadStore(Store):
    """A store in which nothing changes, whatever is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_shared = store.is_shared

    async def get(self, key: str) -> bytes | None:
        return await self._store.get(key)

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        there = await self._store.get(key)
        return there == old, new if there == old else there

    def now_s(self) -> float:
        return self._store.now_s()

    @property
    def is_away(self) -> bool:
        return self._store.is_away


class _Sessions(Sessions):
    """Sessions as they are known here or in the store; what is learned or pinned is forgotten with the rehearsal."""

    def __init__(self, sessions: Sessions, store: Store) -> None:
        super().__init__(store)
        self._known = sessions

    async def find(self, tenant_id: str, name: Name) -> Pin | None:
        newest = self._known.newest(tenant_id, name)
        if newest is not None:
            self.learn(tenant_id, name, newest)
        return await super().find(tenant_id, name)

    def _share(self, tenant_id: str, name: Name, pin: Pin) -> None:
        """Tell nobody."""


class _Probing(Probing):
    """Breakers as other processes left them; these hear nothing of it."""

    def _tell(self, *verdict: Any) -> None:
        """Tell nobody."""


class _NoFetching:
    """Stands for servers of media that a client names by URL: they are not asked, and believed to have them."""

    def __init__(self, unsure: list[str]) -> None:
        self._unsure = unsure

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Return a medium of the kind that the URL's end says."""
        shown = urlsplit(request.url)
        kind = mimetypes.guess_type(shown.path)[0] or "image/png"
        host = shown.netloc.rpartition("@")[2]
        self._unsure.append(f"Media on {host} would be fetched first, and were not looked at.")
        return UpstreamResponse(200, [(b"content-type", kind.encode())], _one_byte(), _close)


async def _one_byte() -> AsyncIterator[bytes]:
    yield b"\0"


async def _close() -> None:
    """There is nothing to close."""


# --- limits ----------------------------------------------------------------------------------------------------------


class _Limits(Limits):
    """Limits as they stand now."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.store, limits.holder)
        self._known = limits

    def _made(self, tenant_id: str, spec: LimitSpec) -> Account:
        return StagedAccount(self._known.known(tenant_id, spec), self.store, tenant_id, spec, self.holder)


class StagedAccount(Account):
    """A limit to be taken from in a rehearsal. How it stands is asked when it is needed; no queue is stood in."""

    def __init__(self, known: Account, store: Store, tenant_id: str, spec: LimitSpec, holder: str) -> None:
        super().__init__(store, tenant_id, spec, holder)
        self._known = known
        self._standing: Standing | None = None

    def take_at_once(self, n: int) -> Taken | None:
        """Take permits, once it is known how the limit stands."""
        if self._standing is None:
            return None
        if self._standing.is_closed and n <= self._limiter.most(self._terms):
            return Taken(False, 1.0, is_closed=True)
        return super().take_at_once(n)

    async def _ask(self, n: int) -> Taken:
        """Look until there is enough, or no other process can hold permits any more that it may not need."""
        give_up_s = self._store.now_s() + PATIENCE_S
        while True:
            self._standing = await self._known.standing()
            self._local, self._held = self._standing.state, self._standing.held
            taken = self.take_at_once(n)
            assert taken is not None
            if taken.granted or self._store.now_s() >= min(give_up_s, self._standing.others_until_s):
                return taken
            await asyncio.sleep(LOOK_S)

    async def _queued(self, taken: Taken, flow: Flow) -> Taken:
        """Return what comes of standing in the queue; who takes another's place waits till about the end of it."""
        if taken.granted:
            return msgspec.structs.replace(taken, wait_s=0.0, waited_s=taken.wait_s)
        if taken.is_closed or not self._known.would_make_room(flow):
            return taken
        return msgspec.structs.replace(taken, granted=True, wait_s=0.0, waited_s=self.reset_s(self._store.now_s()))


# --- quotas ----------------------------------------------------------------------------------------------------------


class StagedAccounts(Accounts):
    """Accounts as they stand now: what this process drew and reserved, and what the ledger has left. Draws nothing."""

    def __init__(self, accounts: Accounts, unsure: list[str]) -> None:
        super().__init__(accounts.ledger, Path(), clock=accounts.clock, now_s=accounts.now_s)
        self.is_away = accounts.is_away
        self._known = accounts
        self._unsure = unsure
        #: What was added to each copy, by quota.
        self._drawn: Counter[str] = Counter()

    def account(self, spec: QuotaSpec, tenant_id: str, zone: str) -> QuotaAccount:
        """Return a copy of the account of a quota's window that is now, the same for one request."""
        account = self._accounts.get((tenant_id, spec.id))
        if account is None:
            account = self._accounts[tenant_id, spec.id] = self._copied(spec, tenant_id, zone)
        return account

    def _copied(self, spec: QuotaSpec, tenant_id: str, zone: str) -> QuotaAccount:
        known = self._known.known(spec, tenant_id)
        if known is None:
            return QuotaAccount(spec, tenant_id, window_at(spec.window, zone, self.now_s()), Lease(""))
        account = QuotaAccount(spec, tenant_id, known.span, replace(known.lease))
        if known.spec == spec:
            account.used_up_until_s, account.spent = known.used_up_until_s, known.spent
        return account

    def take(
        self, account: QuotaAccount, amount: int, request: tuple[str, str, int], *, is_first: bool = False
    ) -> Reservation | None:
        """Reserve on the copy; nothing is written down."""
        if not account.lease.covers(amount, self.clock()):
            return None
        account.lease.reserved += amount
        return Reservation(account, account.lease, amount, -1)

    async def draw(self, account: QuotaAccount, least: int, *, floor: int = 0, want: int = 0) -> Drawn:
        """Add to the copy what the ledger would give.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away.
        """
        lease, quota_id = account.lease, account.spec.id
        left = account.spec.amount - await self.ledger.drawn(quota_id, account.span.start_s) - self._drawn[quota_id]
        amount = 0 if left < least or left <= 0 else min(left, max(least, floor))
        self._drawn[quota_id] += amount
        lease.amount += amount
        lease.good_until_s = self.clock() + self.ledger.lease_s
        return Drawn(amount, left - amount)

    async def standing(self, account: QuotaAccount) -> Elsewhere:
        """Return how the account's window stands in the ledger. Who asks this found too little."""
        standing = await super().standing(account)
        if standing.held_elsewhere or account.lease.reserved:
            told = (
                f"Requests under way and other processes hold a part of the {quota_name(account.spec).lower()}. A "
                "request waits for what they give back, and this tells what becomes of it when that is nothing."
            )
            if told not in self._unsure:
                self._unsure.append(told)
        return standing
