"""Budget: which quotas a request counts against, the worst it may take from them, and what it took (ADR 13)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from analytics.engine.record import Charge
from routing.engine.accounts import TICK_S, WAIT_S, Account, Accounts, Reservation
from routing.engine.call import Call
from routing.engine.decision import SpendTrace
from routing.engine.errors import GatewayError, QuotaUsedUp, RateLimited, Unavailable
from routing.engine.output_cap import capped
from routing.engine.snapshot import Candidate
from routing.engine.worst_case import Worst, priced, worst_case
from tenants.engine.limits import QuotaSpec
from tenants.engine.quota import amount_text, quota_name, reset_text


class Budget:
    """Reserves what requests may take before they are sent, and settles what they took at their end."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        base_url: str = "",
        default_output_tokens: int | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self.accounts = accounts
        self._base_url = base_url
        #: What an answer is expected to have at most whose request does not limit it, instead of what its model can.
        self._default_output_tokens = default_output_tokens
        self._wait_s = wait_s

    async def reserve(self, call: Call, groups: list[list[Candidate]]) -> list[list[Candidate]]:
        """Reserve from every quota that counts for the request, and return who may still serve it.

        Raises:
            QuotaUsedUp: a quota has less left than the request needs at least.
            RateLimited: all that is left is reserved by requests under way.
            Unavailable: the ledger is away and what was drawn from it is reserved.
        """
        specs = list(quotas_of(call))
        if not specs:
            return groups
        groups, prices = priced(call, groups, specs)
        worst = worst_case(call, groups, prices, self._default_output_tokens)
        for spec in specs:
            await self._reserve(call, spec, worst)
        return groups

    def over(self, accounts: Accounts) -> Budget:
        """Return the same over other accounts; it waits for nobody to give anything back."""
        return Budget(accounts, base_url=self._base_url, default_output_tokens=self._default_output_tokens, wait_s=0.0)

    async def reserve_channel(self, call: Call, candidate: Candidate) -> None:
        """Reserve from the quotas of a channel that is about to be tried; see `reserve`."""
        assert call.snapshot is not None
        channel_id = candidate.channel.spec.id
        specs = call.snapshot.channel_quotas.get(channel_id, ())
        if not specs or any(each.channel_id == channel_id for each in call.reservations):
            return
        groups, prices = priced(call, [[candidate]], specs)
        worst = worst_case(call, groups, prices, self._default_output_tokens)
        for spec in specs:
            await self._reserve(call, spec, worst, channel_id)

    def settle(self, call: Call) -> tuple[Charge, ...]:
        """Return what the request took from its quotas; all else that was reserved is free again. Never waits."""
        charges = []
        for reservation in call.reservations:
            account = reservation.account
            amount = _taken(call, reservation)
            self.accounts.settle(reservation, call.id, amount)
            if amount:
                charges.append(
                    Charge(
                        quota_id=account.spec.id,
                        window_s=account.span.start_s,
                        lease_id=reservation.lease.id,
                        amount=amount,
                    )
                )
        call.reservations.clear()
        return tuple(charges)

    # --- taking it ---------------------------------------------------------------------------------------------

    async def _reserve(self, call: Call, spec: QuotaSpec, worst: Worst, channel_id: str = "") -> None:
        assert call.principal is not None and call.snapshot is not None
        document = call.snapshot.document
        account = self.accounts.account(spec, document.tenant_id, document.timezone)
        need = worst.of(spec.kind)
        if not need:
            return
        reservation = self.accounts.take(account, need, _request(call))
        if reservation is None:
            began_s = self.accounts.clock()
            try:
                reservation = await self._wait(call, account, worst, may_cap=not channel_id)
            except (psycopg.Error, OSError) as error:
                raise _away() from error
            except GatewayError as refusal:
                _note(call, spec, need, refused=refusal.code)
                raise
            call.quota_waited_ms += (waited_ms := (self.accounts.clock() - began_s) * 1000)
            _note(call, spec, need, waited_ms)
        else:
            _note(call, spec, need)
        reservation.channel_id = channel_id
        call.reservations.append(reservation)

    async def _wait(self, call: Call, account: Account, worst: Worst, *, may_cap: bool) -> Reservation:
        """Take what a request needs once it is there; after a while, all that is left, with a shorter answer."""
        clock = self.accounts.clock
        deadline_s = clock() + max(0.0, self._wait_s - call.quota_waited_ms / 1000)
        try:
            async with asyncio.timeout(deadline_s - clock()):
                await account.turn.acquire()
        except TimeoutError:
            raise (_away() if self.accounts.is_away else self._reserved_by_others(call, account)) from None
        try:
            while True:
                found = await self._wait_first(call, account, worst, deadline_s)
                if found := found or await self._alone(call, account, worst, may_cap=may_cap):
                    return found
                if clock() >= deadline_s:
                    raise self._reserved_by_others(call, account)
        finally:
            account.turn.release()

    async def _wait_first(self, call: Call, account: Account, worst: Worst, deadline_s: float) -> Reservation | None:
        """Draw and wait until the worst case is covered; None when it will not be."""
        accounts, need = self.accounts, worst.of(account.spec.kind)
        while True:
            if (found := accounts.take(account, need, _request(call), is_first=True)) is not None:
                return found
            if accounts.clock() < account.used_up_until_s:
                raise self._used_up(call, account, worst)
            account.changed.clear()
            lacking = max(1, need - account.lease.free) if accounts.is_good(account) else need
            drawn = await accounts.draw(account, lacking, floor=lacking, want=max(8 * need, account.demand))
            if drawn.amount and (found := accounts.take(account, need, _request(call), is_first=True)) is not None:
                return found
            standing = await accounts.standing(account)
            rest_s = deadline_s - accounts.clock()
            if rest_s <= 0 or not (standing.held_elsewhere or account.lease.reserved):
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(rest_s, TICK_S)):
                    await account.changed.wait()

    async def _alone(self, call: Call, account: Account, worst: Worst, *, may_cap: bool) -> Reservation | None:
        """Take all that is left, if that is enough for a useful answer, and shorten the answer to what it pays.

        None when others had it a moment ago and have it no more.
        """
        kind, accounts = account.spec.kind, self.accounts
        seen, takes_all = worst.seen(), bool(worst.unseen_tokens)
        least = seen.of(kind, seen.least_output)
        if takes_all or account.lease.free < seen.of(kind):
            await accounts.draw(account, max(1, least - account.lease.free), floor=account.spec.amount)
        free = account.lease.free
        may_cap = may_cap and worst.output_tokens > 0 and bool(call.format.output_limits) and not call.is_strict
        if free < (enough := least if may_cap else seen.of(kind)):
            standing = await accounts.standing(account)
            account.spent = standing.spent_elsewhere + account.lease.used
            left = account.spec.amount - account.spent
            if left >= least and (standing.held_elsewhere or account.lease.reserved):
                raise self._reserved_by_others(call, account)
            if left >= enough:
                return None
            if free < least:
                account.used_up_until_s = accounts.clock() + TICK_S
            raise self._used_up(call, account, worst)
        output = seen.output_for(kind, free)
        if output < worst.output_tokens:
            _cap(call, output)
            worst.shorten(output)
            seen.shorten(output)
        # With input that nobody can see here, whatever is left is at stake.
        found = accounts.take(
            account, account.lease.free if takes_all else seen.of(kind), _request(call), is_first=True
        )
        if found is None:
            raise self._reserved_by_others(call, account)
        return found

    # --- saying no ---------------------------------------------------------------------------------------------

    def _used_up(self, call: Call, account: Account, worst: Worst) -> QuotaUsedUp:
        spec, snapshot = account.spec, call.snapshot
        assert snapshot is not None
        left = max(0, spec.amount - account.spent)
        least = worst.seen().of(spec.kind, worst.least_output)
        told = f"{quota_name(spec)} for {_owner(call, spec)} "
        if not left:
            told += f"is used up ({amount_text(spec.kind, account.spent)})."
        elif left < least:
            told += (
                f"has {amount_text(spec.kind, left)} left, and this request needs {amount_text(spec.kind, least)} at "
                "least. Send a shorter one."
            )
        else:
            told += (
                f"has {amount_text(spec.kind, left)} left, and this request may take "
                f"{amount_text(spec.kind, worst.of(spec.kind))}. Ask for a shorter answer."
            )
        end_s = account.span.end_s
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if end_s is not None:
            told += f" Resets {reset_text(end_s, snapshot.document.timezone)}."
            when = dt.datetime.fromtimestamp(end_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers = ((b"x-routex-quota-reset", when.encode()),)
        told += f" Raise it: {self._base_url}/t/{snapshot.document.slug}/admin/tenants/quota/"
        return QuotaUsedUp(told, headers=headers)

    def _reserved_by_others(self, call: Call, account: Account) -> RateLimited:
        return RateLimited(
            f"All that is left of the {quota_name(account.spec).lower()} for {_owner(call, account.spec)} is reserved "
            "by requests under way. Try again in a second.",
            code="quota_reserved",
            retry_after_s=1,
        )


def _away() -> Unavailable:
    return Unavailable(
        "The ledger of quotas cannot be reached, and no money is spent unseen. Try again shortly.",
        code="ledger_away",
        retry_after_s=2,
    )


def quotas_of(call: Call) -> Iterator[QuotaSpec]:
    """Yield the quotas of the tenant, of the key and of the key's tags."""
    assert call.snapshot is not None and call.principal is not None
    yield from call.snapshot.tenant_quotas
    yield from call.principal.quotas
    if call.snapshot.tag_quotas:
        for name, value in call.principal.tags.items():
            yield from call.snapshot.tag_quotas.get(f"{name}={value}", ())


def _taken(call: Call, reservation: Reservation) -> int:
    """Return what the request took from one quota in the end."""
    served = call.served_by
    if served is None or (reservation.channel_id and reservation.channel_id != served.channel.spec.id):
        return 0
    kind = reservation.account.spec.kind
    if kind == "requests":
        return 1
    if kind == "usd":
        # Answered, and nobody can say what it cost: what was reserved is as near as it gets.
        return reservation.amount if call.cost_nano_usd is None else call.cost_nano_usd
    return reservation.amount if call.usage is None else call.usage.input_tokens + call.usage.output_tokens


def _cap(call: Call, tokens: int) -> None:
    """Lower how long an answer the request asks for, in its own body, before anybody reads on in it."""
    assert call.asked is not None
    call.body = capped(call.body, call.asked.members, call.format.output_limits, tokens)
    call.asked = call.format.read_request(call.route, call.query, call.body)
    call.conversation = None
    call.clamps = ("clamped:max_tokens",)


def _request(call: Call) -> tuple[str, str, int]:
    assert call.principal is not None
    return call.id, call.principal.key_id, call.started_us


def _note(call: Call, spec: QuotaSpec, asked: int, waited_ms: float = 0.0, refused: str = "") -> None:
    """Note what a quota was asked for, to be put into words later; what is left of it only the ledger knows."""
    call.untold.append(lambda: call.decision.spends.append(_trace(call, spec, asked, waited_ms, refused)))


def _trace(call: Call, spec: QuotaSpec, asked: int, waited_ms: float, refused: str) -> SpendTrace:
    unit = "nano_usd" if spec.kind == "usd" else ""
    name = f"{_owner(call, spec)}: {quota_name(spec).lower()}"
    return SpendTrace(name, asked, None, waited_ms, refused, unit)


def _owner(call: Call, spec: QuotaSpec) -> str:
    assert call.snapshot is not None and call.principal is not None
    if spec.scope == "tenant":
        return f"tenant `{call.snapshot.document.slug}`"
    if spec.scope == "key":
        return f"key `{call.principal.key_slug}`"
    if spec.scope == "tag":
        return f"keys tagged `{spec.scope_id}`"
    slugs = (each.spec.slug for each in call.snapshot.channels.values() if each.spec.id == spec.scope_id)
    return f"channel `{next(slugs, spec.scope_id)}`"
