"""Upkeep of quotas beside the requests: slices are kept or given back, and what the dead left is charged (ADR 13)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

import psycopg

from analytics.engine.journal import DeadJournal, Entry, dead_journals
from analytics.engine.record import Charge, RequestRecord
from routing.engine.accounts import TICK_S, Accounts

log = logging.getLogger("routex.quotas")

#: How many leases' lengths pass before what a process elsewhere held is written off: its own host may bring it back.
GRACE_LEASES: Final = 10
#: How often a process looks for journals of processes that died, in parts of a lease.
LOOKS_PER_LEASE: Final = 6


class Sink(Protocol):
    """What writes records; `analytics.engine.sink` implements it."""

    @property
    def is_taking_over(self) -> bool:
        """Whether any of that is still to be written."""
        ...

    def take_over(self) -> None:
        """Look again for what processes that died have left."""
        ...

    async def store(self, records: Sequence[RequestRecord]) -> None:
        """Write records that may be stored already, now or not at all; raises psycopg.Error or OSError."""
        ...


class Upkeep:
    """One process's task that looks after its accounts, and after what the dead have left."""

    def __init__(self, accounts: Accounts, sink: Sink, folder: Path, *, grace_s: float | None = None) -> None:
        self._accounts = accounts
        self._ledger = accounts.ledger
        self._sink = sink
        self._folder = folder
        self._grace_s = GRACE_LEASES * self._ledger.lease_s if grace_s is None else grace_s
        self._dead: list[DeadJournal] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="quotas")

    async def stop(self) -> None:
        """End; records must have been written before, so that their reservations are forgotten."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for journal in self._dead:
            journal.leave()
        await self._accounts.close()

    async def _run(self) -> None:
        look_s = self._ledger.lease_s / LOOKS_PER_LEASE
        next_look_s = 0.0
        while True:
            await self._accounts.tick()
            if (now_s := time.monotonic()) >= next_look_s:
                next_look_s = now_s + look_s
                await self._look()
            await asyncio.sleep(TICK_S)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(dead_journals, self._folder)
            if found:
                # First the records that their processes still wrote to the spill: they know more than a journal.
                self._sink.take_over()
                self._dead += found
            elif not self._sink.is_taking_over:
                for journal in list(self._dead):
                    if await self._ledger.has_ended(journal.process):
                        await self._recover(journal)
            if self._accounts.is_in_use:
                for lease_id, tenant_id, amount in await self._ledger.write_off(self._grace_s):
                    log.warning(
                        "Lease %s of %s was never heard of again: %d is counted as spent.", lease_id, tenant_id, amount
                    )
        except (psycopg.Error, OSError) as error:
            log.warning("What dead processes left waits: %s", type(error).__name__)

    async def _recover(self, journal: DeadJournal) -> None:
        """Charge what was under way when a process died, and release the rest of what it held."""
        entries = sorted(journal.entries())
        records = [
            _abandoned(request_id, list(group)) for request_id, group in groupby(entries, lambda e: e.request_id)
        ]
        if records:
            log.warning("%d requests of a process that died are charged as abandoned.", len(records))
            await self._sink.store(records)
        await self._ledger.close_leases(journal.process)
        journal.remove()
        self._dead.remove(journal)


def _abandoned(request_id: str, entries: Sequence[Entry]) -> RequestRecord:
    """Return the record of a request whose process died: what it had taken, or else what was reserved for it."""
    first = entries[0]
    charges = tuple(
        Charge(
            quota_id=entry.quota_id,
            window_s=entry.window_s,
            lease_id=entry.lease_id,
            amount=entry.amount,
            kind="settled" if entry.is_settled else "abandoned",
        )
        for entry in entries
    )
    costs = [entry.cost_nano_usd for entry in entries if entry.cost_nano_usd >= 0]
    return RequestRecord(
        id=request_id,
        tenant_id=first.tenant_id,
        key_id=first.key_id,
        outcome="abandoned",
        error_code="abandoned",
        error_message="The process died while it served this request; it is charged what was reserved for it.",
        cost_nano_usd=max(costs, default=None),
        charges=charges,
        started_us=first.started_us,
        finished_us=first.started_us,
    )
