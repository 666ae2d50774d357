"""The contract of a store, over the memory of one process and over a real Valkey."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from routing.engine.store import Store, StoreAway
from routing.engine.stores.memory import MemoryStore
from routing.engine.stores.valkey import ValkeyStore
from tenants.engine.ids import new_id


@pytest_asyncio.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made = MemoryStore() if request.param == "memory" else ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5)
    yield made
    await made.close()


@pytest.fixture
def key() -> str:
    return f"{new_id('ten')}:x"


@pytest.mark.asyncio
async def test_nothing_is_there_at_first(store, key):
    assert await store.get(key) is None


@pytest.mark.asyncio
async def test_value_is_written_where_nothing_was(store, key):
    assert await store.swap(key, None, b"a", 60) == (True, b"a")
    assert await store.get(key) == b"a"


@pytest.mark.asyncio
async def test_value_is_replaced_by_who_knows_it(store, key):
    await store.swap(key, None, b"\x00\xff binary", 60)
    assert await store.swap(key, b"\x00\xff binary", b"b", 60) == (True, b"b")


@pytest.mark.asyncio
async def test_who_does_not_know_the_value_is_told_it(store, key):
    await store.swap(key, None, b"a", 60)
    assert await store.swap(key, None, b"b", 60) == (False, b"a")
    assert await store.swap(key, b"old", b"b", 60) == (False, b"a")
    assert await store.get(key) == b"a"


@pytest.mark.asyncio
async def test_who_expects_a_value_that_has_gone_is_told_so(store, key):
    assert await store.swap(key, b"a", b"b", 60) == (False, None)
    assert await store.get(key) is None


@pytest.mark.asyncio
async def test_value_is_deleted_by_who_knows_it(store, key):
    await store.swap(key, None, b"a", 60)
    assert await store.swap(key, b"a", None, 60) == (True, None)
    assert await store.get(key) is None


@pytest.mark.asyncio
async def test_of_many_at_once_one_wins(store, key):
    took = await asyncio.gather(*(store.swap(key, None, b"%d" % place, 60) for place in range(20)))
    winners = [there for is_taken, there in took if is_taken]
    assert len(winners) == 1
    assert {there for _, there in took} == set(winners)


@pytest.mark.asyncio
async def test_clock_is_seconds_since_the_epoch(store, key):
    await store.get(key)
    assert store.now_s() == pytest.approx(time.time(), abs=5)


@pytest.mark.asyncio
async def test_value_in_memory_runs_out():
    now_s = 1000.0
    store = MemoryStore(lambda: now_s)
    await store.swap("t:x", None, b"a", 10)
    now_s = 1009.9
    assert await store.get("t:x") == b"a"
    now_s = 1010.1
    assert await store.swap("t:x", None, b"b", 10) == (True, b"b")


@pytest.mark.asyncio
async def test_value_in_valkey_is_given_its_time_to_live(key):
    store = ValkeyStore(os.environ["REDIS_URL"], answer_limit_s=5)
    await store.swap(key, None, b"a", 60)
    assert 50_000 < await store._client.pttl(f"routex:{key}") <= 60_000
    await store.close()


@pytest.mark.asyncio
async def test_valkey_that_nobody_runs_is_away_and_not_asked_again(unused_port, caplog):
    store = ValkeyStore(f"redis://127.0.0.1:{unused_port}/0")
    with caplog.at_level(logging.WARNING), pytest.raises(StoreAway):
        await store.get("t:x")
    assert store.is_away
    for _ in range(5):
        with pytest.raises(StoreAway):
            await store.swap("t:x", None, b"a", 1)
    assert store.trips == 1
    assert len(caplog.records) == 1
    await store.close()


@pytest.mark.asyncio
async def test_valkey_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = ValkeyStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreAway):
            await store.get("t:x")
        assert store.is_away
        await store.close()


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
