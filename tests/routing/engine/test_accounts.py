"""Accounts over the real ledger: whatever processes do and however they end, no quota is drawn past its amount."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from analytics.engine.journal import dead_journals
from analytics.engine.ledger import Ledger
from analytics.engine.record import Charge, RequestRecord
from analytics.engine.sink import RecordSink
from analytics.engine.writer import RecordWriter
from routing.engine.accounts import Account, Accounts, Reservation
from routing.engine.recovery import Upkeep
from routing.engine.stage import StagedAccounts
from tenants.engine.ids import new_id
from tenants.engine.limits import QuotaSpec

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("django_db_setup")]

TENANT = "ten_accounts"


class Bank:
    """A quota, the processes that spend it, and a look into the ledger."""

    def __init__(self, folder: Path, amount: int) -> None:
        self.spec = QuotaSpec(id=new_id("quo"), kind="usd", amount=amount, window="ever")
        self.folder = folder
        self.url = os.environ["DATABASE_URL"]
        self.writer = RecordWriter(self.url)
        self.opened: list[Accounts] = []

    def process(self, lease_s: float = 60.0) -> Accounts:
        accounts = Accounts(Ledger(self.url, new_id("prc"), lease_s=lease_s), self.folder)
        self.opened.append(accounts)
        return accounts

    def account(self, process: Accounts) -> Account:
        return process.account(self.spec, TENANT, "UTC")

    async def take(self, process: Accounts, amount: int) -> tuple[str, Reservation] | None:
        """Reserve as a request does, with a draw where memory has too little."""
        account, request = self.account(process), new_id("req")
        found = process.take(account, amount, (request, "key_1", 1))
        if found is None:
            await process.draw(account, amount, floor=amount, want=4 * amount)
            found = process.take(account, amount, (request, "key_1", 1))
        return found and (request, found)

    def record(self, request: str, lease_id: str, amount: int, **fields: Any) -> RequestRecord:
        charge = Charge(quota_id=self.spec.id, window_s=0, lease_id=lease_id, amount=amount)
        return RequestRecord(id=request, tenant_id=TENANT, charges=(charge,), started_us=1, finished_us=2, **fields)

    def rows(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT set_config('app.tenant', %s, false)", [TENANT])
            return connection.execute(statement, [self.spec.id]).fetchall()

    @property
    def drawn(self) -> int:
        return sum(row[0] for row in self.rows("SELECT drawn FROM quota_window WHERE quota_id = %s"))

    @property
    def leased(self) -> int:
        return sum(row[0] for row in self.rows("SELECT amount FROM quota_lease WHERE quota_id = %s"))

    def spent(self, what: str = "settled + abandoned + written_off") -> int:
        return sum(row[0] for row in self.rows(f"SELECT {what} FROM quota_lease WHERE quota_id = %s"))

    def charged(self, kind: str) -> int:
        rows = self.rows("SELECT amount, kind FROM quota_charge WHERE quota_id = %s")
        return sum(amount for amount, found in rows if found == kind)


@pytest_asyncio.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Callable[[int], Bank]]:
    made: list[Bank] = []

    def make(amount: int) -> Bank:
        made.append(Bank(tmp_path, amount))
        return made[-1]

    yield make
    for each in made:
        await each.writer.disconnect()
        for process in each.opened:
            await process.ledger.close()


def die(process: Accounts) -> None:
    """End a process as a kill does: its memory is gone, its lock with it, and its journal stays."""
    journal = process._journal
    assert journal is not None
    journal._map.close()
    os.close(journal._fd)


async def recover(bank: Bank, process: Accounts) -> None:
    """Do what the upkeep of a sibling does with the journals of the dead."""
    sink = RecordSink(conninfo=bank.url, spill_folder=bank.folder / "spill")
    upkeep = Upkeep(process, sink, bank.folder)
    upkeep._dead += dead_journals(bank.folder)
    for dead in list(upkeep._dead):
        await upkeep._recover(dead)


@pytest.mark.parametrize("seed", range(3))
async def test_processes_that_draw_spend_give_back_and_die_never_pass_the_amount(bank, seed):
    chance = random.Random(seed)
    here = bank(100_000)
    processes = [here.process() for _ in range(3)]
    under_way: list[tuple[Accounts, str, Reservation]] = []
    settled = abandoned = 0
    for _ in range(80):
        process = chance.choice(processes)
        deed = chance.random()
        if deed < 0.55:
            if found := await here.take(process, chance.randint(1, 4000)):
                under_way.append((process, *found))
        elif deed < 0.9 and under_way:
            process, request, reservation = under_way.pop(chance.randrange(len(under_way)))
            amount = chance.randint(0, reservation.amount)
            process.settle(reservation, request, amount)
            settled += amount
            # One in four is never written: its process will have to die with it in its journal.
            if amount and chance.random() < 0.75:
                record = here.record(request, reservation.lease.id, amount)
                await here.writer.write_once([record])
                process.written([record])
        elif deed < 0.96:
            await process.give_back(here.account(process))
        elif process._journal is not None:
            die(process)
            processes[processes.index(process)] = here.process()
            abandoned += sum(each[2].amount for each in under_way if each[0] is process)
            under_way = [each for each in under_way if each[0] is not process]
        assert here.drawn == here.leased <= 100_000
    for process in processes:
        if process._journal is not None:
            die(process)
    abandoned += sum(reservation.amount for _, _, reservation in under_way)
    await recover(here, here.process())
    assert here.charged("settled") == settled
    assert here.charged("abandoned") == abandoned
    assert here.drawn == here.leased == here.spent() == settled + abandoned <= 100_000


async def test_many_draws_at_once_never_pass_the_amount(bank):
    here = bank(10_000)
    processes = [here.process() for _ in range(8)]
    drawn = await asyncio.gather(*(each.draw(here.account(each), 700, floor=700, want=5000) for each in processes * 3))
    assert sum(each.amount for each in drawn) == here.drawn == here.leased
    assert here.drawn > 10_000 - 700


async def test_a_charge_counts_once_however_often_it_is_brought(bank):
    here = bank(1000)
    process = here.process()
    request, reservation = await here.take(process, 500)
    record = here.record(request, reservation.lease.id, 300)
    await here.writer.write([record])
    for _ in range(3):
        await here.writer.write_once([record])
        await here.writer.charge([record])
    assert here.spent() == here.charged("settled") == 300
    [(count,)] = here.rows("SELECT count(*) FROM analytics_requestrecord WHERE id = ANY(SELECT request_id "
                           "FROM quota_charge WHERE quota_id = %s)")  # fmt: skip
    assert count == 1


async def test_an_answer_dearer_than_its_worst_case_is_drawn_as_well(bank):
    here = bank(1000)
    process = here.process()
    request, reservation = await here.take(process, 900)
    await process.draw(here.account(process), 1, floor=1000)
    process.settle(reservation, request, 1200)
    await here.writer.write_once([here.record(request, reservation.lease.id, 1200)])
    assert here.drawn == here.leased == here.spent() == 1200
    assert await here.take(process, 1) is None
    assert await here.take(here.process(), 1) is None


async def test_a_record_that_is_dropped_is_charged_all_the_same(bank):
    here = bank(1000)
    process = here.process()
    sink = RecordSink(conninfo=here.url, spill_folder=here.folder / "spill", capacity=1, on_stored=process.written)
    await sink.start()
    try:
        for _ in range(3):
            request, reservation = await here.take(process, 100)
            process.settle(reservation, request, 60)
            sink.put(here.record(request, reservation.lease.id, 60))
        async with asyncio.timeout(20):
            while process._journal.used:
                await asyncio.sleep(0.02)
    finally:
        await sink.close()
    assert sink.state.dropped == 2
    assert here.spent() == 180


async def test_what_a_lost_host_held_is_written_off_and_comes_back_with_it(bank):
    here = bank(1000)
    process = here.process(lease_s=0.0)
    request, reservation = await _lent(here, process)
    other = here.process()
    lost = await other.ledger.write_off(0.0)
    assert [amount for _, tenant, amount in lost if tenant == TENANT] == [here.drawn]
    assert here.spent("written_off") == here.drawn == here.leased
    # Its host is back: the journal knows better.
    process.settle(reservation, request, 40)
    die(process)
    await recover(here, other)
    assert here.drawn == here.leased == here.spent() == here.charged("settled") == 40


async def _lent(here: Bank, process: Accounts) -> tuple[str, Reservation]:
    """Reserve on a lease that ends at once."""
    account, request = here.account(process), new_id("req")
    await process.draw(account, 500, floor=500)
    account.lease.good_until_s = process.clock() + 60
    found = process.take(account, 500, (request, "key_1", 1))
    assert found is not None
    return request, found


async def test_a_lease_that_was_written_off_is_followed_by_another(bank):
    here = bank(1000)
    process = here.process()
    request, reservation = await here.take(process, 100)
    with psycopg.connect(here.url) as connection:
        connection.execute("SET ROLE routex_writer")
        connection.execute("UPDATE quota_lease SET is_closed = true WHERE quota_id = %s", [here.spec.id])
    here.account(process).lease.good_until_s = 0.0
    assert process.take(here.account(process), 1, ("req_1", "key_1", 1)) is None
    _, second = await here.take(process, 100)
    assert second.lease is not reservation.lease
    process.settle(reservation, request, 70)
    assert reservation.lease.used == 70 and second.lease.used == 0


async def test_idle_money_goes_back_and_at_once_when_somebody_needs_it(bank):
    here = bank(1000)
    rich, poor = here.process(), here.process()
    await rich.draw(here.account(rich), 1, floor=1000)
    assert (await poor.draw(here.account(poor), 500, floor=500)).amount == 0
    await rich.tick()
    assert (await poor.draw(here.account(poor), 500, floor=500)).amount == 500
    assert here.drawn == here.leased == 500


async def test_the_journal_of_a_living_process_is_nobody_elses(bank):
    here = bank(1000)
    process = here.process()
    await here.take(process, 100)
    assert dead_journals(here.folder) == []
    die(process)
    [dead] = dead_journals(here.folder)
    [entry] = dead.entries()
    assert (entry.amount, entry.quota_id, entry.tenant_id, entry.is_settled) == (100, here.spec.id, TENANT, False)
    assert dead_journals(here.folder) == []
    dead.leave()


async def test_a_process_that_ends_in_order_leaves_nothing_behind(bank):
    here = bank(1000)
    process = here.process()
    request, reservation = await here.take(process, 100)
    process.settle(reservation, request, 30)
    record = here.record(request, reservation.lease.id, 30)
    await here.writer.write_once([record])
    process.written([record])
    await process.close()
    assert list(here.folder.glob("*.journal")) == []
    assert here.drawn == here.leased == here.spent() == 30


async def test_a_rehearsal_knows_what_is_left_everywhere_and_draws_nothing(bank):
    here = bank(1000)
    first, second = here.process(), here.process()
    assert await here.take(first, 300)
    drawn, leased = here.drawn, here.leased
    stage = StagedAccounts(second, [])
    account = stage.account(here.spec, TENANT, "UTC")
    left = await stage.draw(account, 1, floor=1000)
    assert (left.amount, left.left) == (1000 - drawn, 0)
    assert stage.take(account, 1000 - drawn, ("req_1", "key_1", 1)) and not stage.take(account, 1, ("r", "k", 1))
    assert (here.drawn, here.leased, second.is_in_use) == (drawn, leased, False)
