"""One breaker for all processes: opened in one, open in all, and probed by one request of all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from routing.engine.document import PolicySpec
from routing.engine.probing import Probing
from routing.engine.states import ChannelState
from routing.engine.store import Store, StoreAway
from routing.engine.stores.memory import MemoryStore
from tenants.engine.ids import new_id
from tests.routing.engine.cast import channel, snapshot
from tests.routing.engine.harness import Harness, Step, status

POLICY = PolicySpec(breaker_failures=2, breaker_open_s=60)
[KNOWN] = snapshot(channel("a")).channels.values()


class Process:
    """One of the processes; each order is answered by a line."""

    def __init__(self, tenant_id: str) -> None:
        command = [sys.executable, "-m", "tests.routing.engine.probe_process", os.environ["REDIS_URL"], tenant_id]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, order: str) -> str:
        self.say(order)
        return self.hear()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    tenant_id = new_id("ten")
    started = [Process(tenant_id) for _ in range(4)]
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_four_processes_send_exactly_one_probe_and_close_together(processes):
    first, *others = processes
    assert first.ask("fail") == "open"
    # The others have seen no failure at all.
    assert [each.ask("look") for each in others] == ["open"] * 3
    for each in processes:
        each.ask("later 61")
    assert first.ask("expire") == "half_open"
    for _ in range(3):
        for each in processes:
            each.say("probe 20")
        answers = [int(each.hear()) for each in processes]
        assert sum(answers) in {0, 1}
        if sum(answers) == 1:
            break
    winner = processes[answers.index(1)]
    # While it is under way nobody else may, however late it gets for them.
    for each in processes:
        each.ask("later 2")
        assert each.ask("probe 20") == "0"
    assert winner.ask("succeed") == "closed"
    for each in processes:
        each.ask("later 2")
        assert int(each.ask("probe 20")) >= 1
        each.ask("later 61")
        assert each.ask("probe 1") == "1"


class Pair:
    """Two processes' memories over one store."""

    def __init__(self, store=None):
        self.now_s = 1000.0
        self.store = store or MemoryStore(lambda: self.now_s, is_shared=True)
        self.probing = Probing(self.store)
        self.here, self.there = ChannelState(), ChannelState()

    def standing(self, state):
        return state.breaker.standing(POLICY, self.now_s)

    async def fail(self, state, times=2):
        for _ in range(times):
            if state.breaker.failed(POLICY, self.now_s):
                self.probing.opened("ten_1", KNOWN, POLICY)
        await self.probing.settled()

    async def take(self, state):
        return await self.probing.take("ten_1", KNOWN, state, POLICY, self.now_s)

    async def look(self, state):
        await self.probing.look("ten_1", KNOWN, state, POLICY, self.now_s)


@pytest.mark.asyncio
async def test_a_process_that_looks_needs_no_failures_of_its_own():
    pair = Pair()
    await pair.fail(pair.here)
    pair.now_s += 20
    await pair.look(pair.there)
    assert pair.standing(pair.there) == "open"
    pair.now_s += 40
    assert pair.standing(pair.there) == "half_open"


@pytest.mark.asyncio
async def test_what_was_open_long_ago_is_not_open():
    pair = Pair()
    await pair.fail(pair.here)
    pair.now_s += 61
    await pair.look(pair.there)
    assert pair.standing(pair.there) == "closed"


@pytest.mark.asyncio
async def test_a_failed_probe_keeps_it_open_for_the_other_process_too():
    pair = Pair()
    await pair.fail(pair.here)
    await pair.look(pair.there)
    pair.now_s += 60
    assert await pair.take(pair.here)
    assert not await pair.take(pair.there)
    await pair.fail(pair.here, 1)
    pair.now_s += 2
    assert not await pair.take(pair.there)
    assert pair.standing(pair.there) == "open"
    pair.now_s += 57
    assert pair.standing(pair.there) == "open"


@pytest.mark.asyncio
async def test_a_probe_that_was_given_up_is_taken_by_the_next():
    pair = Pair()
    await pair.fail(pair.here)
    await pair.look(pair.there)
    pair.now_s += 60
    assert await pair.take(pair.here)
    assert pair.here.breaker.abandoned()
    pair.probing.given_up("ten_1", KNOWN, POLICY)
    await pair.probing.settled()
    assert await pair.take(pair.there)


@pytest.mark.asyncio
async def test_the_probe_of_a_process_that_died_ends_with_its_lease():
    pair = Pair()
    await pair.fail(pair.here)
    await pair.look(pair.there)
    pair.now_s += 60
    assert await pair.take(pair.here)
    pair.now_s += KNOWN.timeouts.connect_s + KNOWN.timeouts.first_byte_s + 4
    assert not await pair.take(pair.there)
    pair.now_s += 2
    assert await pair.take(pair.there)


@pytest.mark.asyncio
async def test_what_lies_in_the_store_of_another_version_does_not_keep_a_channel_shut():
    pair = Pair()
    await pair.store.swap("ten_1:breaker:chn_a", None, b"\xffwhat", 1000)
    await pair.look(pair.here)
    assert pair.standing(pair.here) == "closed"
    await pair.fail(pair.here)
    pair.now_s += 60
    assert await pair.take(pair.here)


class Away(Store):
    async def get(self, key):
        raise StoreAway("away")

    async def swap(self, key, old, new, ttl_s):
        raise StoreAway("away")

    def now_s(self):
        return 1000.0


@pytest.mark.asyncio
async def test_without_the_store_each_process_probes_by_itself():
    pair = Pair(Away())
    await pair.fail(pair.here)
    await pair.look(pair.there)
    pair.now_s += 60
    assert await pair.take(pair.here)
    assert pair.standing(pair.here) == "open"  # for everybody else in this process
    assert pair.standing(pair.there) == "closed"


@pytest.mark.asyncio
async def test_two_gateways_over_one_store_let_one_request_try():
    store = MemoryStore(is_shared=True)
    policy = PolicySpec(attempts=1, breaker_failures=2, breaker_open_s=60)
    made = [Harness(policy=policy) for _ in range(2)]
    for each in made:
        each.gateway.store = store
        each.gateway.__post_init__()
    made[0].provider.steps = [status(500), status(500)]
    for _ in range(2):
        await made[0].ask()
    await made[0].gateway.probing.settled()
    answer = await made[1].ask()
    # Its own failures are none: it saw that the other one has opened it.
    assert answer.status in {503, 529} and answer.json["error"]["code"] == "server_is_overloaded"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert not made[1].provider.sent
    # The open time passes for both, and in the store.
    for each in made:
        each.now_s += 61
    await store.swap("ten_1:breaker:chn_a", await store.get("ten_1:breaker:chn_a"), None, 1)
    gate = asyncio.Event()
    for each in made:
        each.provider.sent.clear()
        each.provider.steps = [Step(chunks=[gate, Step().chunks[0]])] * 9
    asked = [asyncio.create_task(each.ask()) for each in made for _ in range(10)]
    await asyncio.sleep(0.05)
    assert sum(len(each.provider.sent) for each in made) == 1
    gate.set()
    answers = [answer.status for answer in await asyncio.gather(*asked)]
    assert answers.count(200) == 1
