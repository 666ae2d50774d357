"""Limits over many processes: exact whoever asks, cheap while they are far, and no hang when the counters are away."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from routing.engine.account import Taken
from routing.engine.limits import Limits
from routing.engine.store import Store, StoreAway
from routing.engine.stores.memory import MemoryStore
from routing.engine.stores.valkey import ValkeyStore
from tenants.engine.ids import new_id
from tenants.engine.limits import LimitSpec

PROCESSES = 4
FLOW = ("ten_1", "key_1")


def limit(algorithm: str = "sliding_window", limit: int = 100, window_s: int = 60, **options: Any) -> LimitSpec:
    kind: Any = "concurrency" if algorithm == "concurrency" else "requests"
    return LimitSpec(id=new_id("lim"), kind=kind, algorithm=algorithm, limit=limit, window_s=window_s, options=options)


class Fleet:
    """Some processes' limits over one store; each Valkey process has connections of its own."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self.tenant_id = new_id("ten")
        self.each = [Limits(make()) for _ in range(PROCESSES)]

    async def ask(self, process: int, spec: LimitSpec, n: int = 1) -> Taken:
        return await self.each[process].account(self.tenant_id, spec).take(n, FLOW)

    async def storm(self, spec: LimitSpec, asks: int) -> int:
        """Ask from all processes at once, and return how many were granted."""
        taken = await asyncio.gather(*(self.ask(place % PROCESSES, spec) for place in range(asks)))
        return sum(each.granted for each in taken)

    def give_back(self, process: int, spec: LimitSpec, n: int = 1) -> None:
        self.each[process].account(self.tenant_id, spec).give_back(n)


@pytest_asyncio.fixture(params=["memory", "valkey"])
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    if request.param == "memory":
        shared = MemoryStore(is_shared=True)
        made = Fleet(lambda: shared)
    else:
        made = Fleet(lambda: ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5))
    yield made
    for limits in made.each:
        await limits.close()
        await limits.store.close()


@pytest.mark.parametrize("algorithm", ["sliding_window", "token_bucket", "concurrency"])
@pytest.mark.asyncio
async def test_of_many_asks_at_once_exactly_the_limit_passes(fleet, algorithm):
    assert await fleet.storm(limit(algorithm, 100, 3600), 250) == 100


@pytest.mark.asyncio
async def test_what_one_process_leased_and_does_not_need_is_lost_to_nobody(fleet):
    spec = limit("sliding_window", 1000, 3600)
    for _ in range(20):  # demand makes the first process take permits ahead
        assert (await fleet.ask(0, spec)).granted
        await asyncio.sleep(0.01)
    taken = await asyncio.gather(*(fleet.ask(1 + place % 3, spec) for place in range(1000)))
    granted = sum(each.granted for each in taken)
    # A process that got no time to give back before its lease was over does so a little later; nothing is lost.
    for _ in range(100):
        granted += (await fleet.ask(1, spec)).granted
    assert granted == 980


@pytest.mark.asyncio
async def test_limits_hold_while_processes_ask_in_waves(fleet):
    spec = limit("sliding_window", 300, 3600)
    passed = 0
    for wave in range(20):
        passed += await fleet.storm(spec, 5 + wave * 2)
    assert passed == 300


@pytest.mark.asyncio
async def test_places_that_come_back_are_given_again(fleet):
    spec = limit("concurrency", 8)
    assert await fleet.storm(spec, 20) == 8
    held = [limits.account(fleet.tenant_id, spec)._held for limits in fleet.each]
    assert sum(held) == 8
    for process, count in enumerate(held):
        for _ in range(count):
            fleet.give_back(process, spec)
    assert await fleet.storm(spec, 20) == 8


@pytest.mark.asyncio
async def test_places_in_use_never_exceed_the_limit(fleet):
    spec, running, most = limit("concurrency", 6), 0, 0

    async def work(process: int) -> None:
        nonlocal running, most
        for _ in range(12):
            if (await fleet.ask(process, spec)).granted:
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.002)
                running -= 1
                fleet.give_back(process, spec)

    await asyncio.gather(*(work(place % PROCESSES) for place in range(16)))
    assert 0 < most <= 6


@pytest.mark.asyncio
async def test_client_that_leaves_while_permits_are_fetched_costs_nothing(fleet):
    spec = limit("sliding_window", 10, 3600)
    asks = [asyncio.ensure_future(fleet.ask(0, spec)) for _ in range(5)]
    await asyncio.sleep(0)
    for ask in asks:
        ask.cancel()
    await asyncio.gather(*asks, return_exceptions=True)
    await fleet.each[0].close()
    assert await fleet.storm(spec, 20) == 10


@pytest.mark.asyncio
async def test_truth_told_by_one_process_is_known_to_the_others(fleet):
    spec = LimitSpec(id=new_id("lim"), kind="tokens", limit=1000, window_s=3600)
    assert (await fleet.ask(0, spec, 100)).granted
    fleet.each[0].account(fleet.tenant_id, spec).adjust(850)
    await fleet.each[0].close()
    assert not (await fleet.ask(1, spec, 100)).granted
    assert (await fleet.ask(2, spec, 50)).granted


@pytest.mark.asyncio
async def test_cut_that_one_process_heard_of_holds_for_all(fleet):
    spec = limit("adaptive", 1000, 3600, burst=100, decrease=0.1)
    assert (await fleet.ask(0, spec)).left == 99
    fleet.each[0].account(fleet.tenant_id, spec).hear(is_refusal=True)
    await fleet.each[0].close()
    assert (await fleet.ask(1, spec)).left == 9


@pytest.mark.asyncio
async def test_limit_that_was_changed_keeps_what_is_counted(fleet):
    spec = limit("sliding_window", 10, 3600)
    await fleet.storm(spec, 8)
    smaller = LimitSpec(id=spec.id, limit=9, window_s=3600)
    assert await fleet.storm(smaller, 8) == 1


@pytest.mark.asyncio
async def test_limit_of_another_algorithm_begins_anew(fleet):
    spec = limit("sliding_window", 10, 3600)
    await fleet.storm(spec, 10)
    assert await fleet.storm(LimitSpec(id=spec.id, algorithm="token_bucket", limit=10, window_s=3600), 15) == 10


@pytest.mark.asyncio
async def test_uncontended_ask_is_one_round_trip():
    fleet = Fleet(lambda: ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5))
    spec, store = limit("sliding_window", 4, 3600), fleet.each[0].store
    await store.get("what the time is")
    for asked in range(2, 5):
        assert (await fleet.ask(0, spec)).granted
        assert store.trips == asked


@pytest.mark.asyncio
async def test_first_ask_goes_by_the_stores_clock_and_not_by_this_machines():
    here = ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5)
    here._offset_s += 3600  # a machine whose clock is an hour ahead
    fleet, spec = Fleet(lambda: here), limit("token_bucket", 1000, 10, burst=1)
    assert (await fleet.ask(0, spec)).granted
    assert here.now_s() == pytest.approx(time.time(), abs=60)
    await asyncio.sleep(0.05)
    assert (await fleet.ask(0, spec)).granted
    await here.close()


@pytest.mark.asyncio
async def test_load_far_from_the_limit_needs_few_round_trips():
    fleet = Fleet(lambda: ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5))
    specs = [limit("sliding_window", 1_000_000), limit("token_bucket", 1_000_000), limit("concurrency", 100_000)]
    requests = 0

    async def client(process: int) -> None:
        nonlocal requests
        for _ in range(120):
            for spec in specs:
                assert (await fleet.ask(process, spec)).granted
            await asyncio.sleep(0.005)
            fleet.give_back(process, specs[2])
            requests += 1

    await asyncio.gather(*(client(place % PROCESSES) for place in range(16)))
    trips = sum(limits.store.trips for limits in fleet.each)
    print(f"{trips / requests:.3f} round trips per request with {len(specs)} limits")
    assert trips <= 0.2 * requests * len(specs)
    for limits in fleet.each:
        await limits.close()


# --- crash


class Shifted(ValkeyStore):
    """Valkey whose clock this process reads later."""

    later_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.later_s


@pytest.mark.asyncio
async def test_places_of_a_process_that_died_are_free_after_a_while():
    crashed, alive = (Shifted(os.environ["REDIS_URL"], answer_limit_s=5) for _ in range(2))
    spec, tenant_id = limit("concurrency", 2), new_id("ten")
    dead, other = Limits(crashed), Limits(alive)
    for _ in range(2):
        assert (await dead.account(tenant_id, spec).take(1, FLOW)).granted
    for account in dead._accounts.values():  # nothing of it runs any more
        account._timer.cancel()
    assert not (await other.account(tenant_id, spec).take(1, FLOW)).granted
    alive.later_s = 16
    assert (await other.account(tenant_id, spec).take(1, FLOW)).granted
    for limits in (other,):
        await limits.close()
    await crashed.close()
    await alive.close()


# --- outage


class Switched(MemoryStore):
    """A shared store that can be switched off."""

    is_off = False
    is_known = False

    @property
    def is_away(self) -> bool:
        return self.is_off and self.is_known

    async def get(self, key: str) -> bytes | None:
        self._ask()
        return await super().get(key)

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        self._ask()
        return await super().swap(key, old, new, ttl_s)

    def _ask(self) -> None:
        if self.is_off:
            self.is_known = True
            raise StoreAway
        self.is_known = False


@pytest.mark.asyncio
async def test_without_the_store_a_process_counts_by_itself_from_what_it_knew():
    store = Switched(is_shared=True)
    fleet, spec = Fleet(lambda: store), limit("sliding_window", 10, 3600)
    for _ in range(4):
        assert (await fleet.ask(0, spec)).granted
    store.is_off = True
    taken = [await fleet.ask(0, spec) for _ in range(9)]
    assert [each.granted for each in taken] == [True] * 6 + [False] * 3


@pytest.mark.asyncio
async def test_without_the_store_a_limit_may_choose_to_let_nothing_through():
    store = Switched(is_shared=True)
    fleet, spec = Fleet(lambda: store), limit("sliding_window", 10, 3600, on_outage="closed")
    assert (await fleet.ask(0, spec)).granted
    store.is_off = True
    for _ in range(2):  # the one that found out, and the one after
        taken = await fleet.ask(0, spec)
        assert (taken.granted, taken.is_closed) == (False, True)


@pytest.mark.asyncio
async def test_shared_counts_hold_again_when_the_store_is_back():
    store = Switched(is_shared=True)
    fleet, spec = Fleet(lambda: store), limit("sliding_window", 10, 3600)
    assert await fleet.storm(spec, 8) == 8
    store.is_off = True
    await fleet.ask(0, spec)
    store.is_off = False
    assert await fleet.storm(spec, 12) == 2


@pytest.mark.asyncio
async def test_places_held_through_an_outage_are_counted_when_the_store_is_back():
    store = Switched(is_shared=True)
    fleet, spec = Fleet(lambda: store), limit("concurrency", 4)
    store.is_off = True
    for _ in range(3):
        assert (await fleet.ask(0, spec)).granted
    store.is_off = False
    assert (await fleet.ask(0, spec)).granted
    assert not (await fleet.ask(1, spec)).granted
    for _ in range(4):
        fleet.give_back(0, spec)
    await fleet.each[0].close()
    assert await fleet.storm(spec, 9) == 4


@pytest.mark.asyncio
async def test_state_that_cannot_be_read_counts_as_none(fleet):
    spec = limit("sliding_window", 10, 3600)
    account = fleet.each[0].account(fleet.tenant_id, spec)
    await fleet.each[0].store.swap(account.key, None, b"\xc1 of another version", 60)
    assert await fleet.storm(spec, 15) == 10


# --- without a shared store


@pytest.mark.asyncio
async def test_limits_of_one_process_are_counted_there_and_exact():
    fleet = Fleet(MemoryStore)
    spec = limit("sliding_window", 10, 3600)
    assert sum([(await fleet.ask(0, spec)).granted for _ in range(15)]) == 10
    fleet.give_back(0, spec, 2)
    assert sum([(await fleet.ask(0, spec)).granted for _ in range(15)]) == 2


@pytest.mark.asyncio
async def test_accounts_nobody_uses_are_forgotten(monkeypatch):
    now_s = 1000.0
    limits = Limits(MemoryStore(lambda: now_s))
    monkeypatch.setattr("routing.engine.limits.MANY_ACCOUNTS", 5)
    for place in range(5):
        await limits.account("ten_1", LimitSpec(id=f"lim_{place}", limit=5)).take(1, FLOW)
    now_s = 1061.0
    await limits.account("ten_1", LimitSpec(id="lim_9", limit=5)).take(1, FLOW)
    assert len(limits._accounts) == 1


# --- the queue


@pytest.mark.asyncio
async def test_waiting_requests_leave_in_turn_by_key():
    limits, spec = Limits(MemoryStore(lambda: 1000.0)), limit("leaky_bucket", 200, 1, queue=50)
    order: list[str] = []

    async def ask(key: str) -> None:
        assert (await limits.account("ten_1", spec).take(1, ("ten_1", key))).granted
        order.append(key)

    await asyncio.gather(*(ask("greedy") for _ in range(8)), *(ask("modest") for _ in range(3)))
    assert order[:7] == ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "modest"]


@pytest.mark.asyncio
async def test_full_queue_makes_room_for_a_key_with_fewer_waiting():
    # A tenth of a second for each: long enough that none is called before all have come.
    limits, spec = Limits(MemoryStore(lambda: 1000.0)), limit("leaky_bucket", 10, 1, queue=4)

    async def ask(key: str) -> bool:
        return (await limits.account("ten_1", spec).take(1, ("ten_1", key))).granted

    greedy = [asyncio.ensure_future(ask("greedy")) for _ in range(5)]
    await asyncio.sleep(0)
    modest = [asyncio.ensure_future(ask("modest")) for _ in range(4)]
    assert sum(await asyncio.gather(*modest)) == 2
    assert sum(await asyncio.gather(*greedy)) == 3


@pytest.mark.asyncio
async def test_who_leaves_the_queue_holds_nobody_up():
    limits, spec = Limits(MemoryStore(lambda: 1000.0)), limit("leaky_bucket", 100, 1, queue=10)
    asks = [asyncio.ensure_future(limits.account("ten_1", spec).take(1, FLOW)) for _ in range(4)]
    await asyncio.sleep(0)
    asks[1].cancel()
    taken = await asyncio.gather(*asks, return_exceptions=True)
    assert [isinstance(each, Taken) and each.granted for each in taken] == [True, False, True, True]


# --- real processes


def _process(url: str, tenant_id: str, spec: LimitSpec, asks: int, gate: Any, results: Any) -> None:
    async def run() -> int:
        limits = Limits(ValkeyStore(url, answer_limit_s=10))
        account = limits.account(tenant_id, spec)
        gate.wait()
        taken = await asyncio.gather(*(account.take(1, FLOW) for _ in range(asks)))
        await limits.close()
        await limits.store.close()
        return sum(each.granted for each in taken)

    results.put(asyncio.run(run()))


def test_real_processes_share_a_limit_exactly():
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(PROCESSES), context.Queue()
    arguments = (os.environ["REDIS_URL"], new_id("ten"), limit("sliding_window", 137, 3600), 80, gate, results)
    processes = [context.Process(target=_process, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    passed = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=30)
    assert sum(passed) == 137
