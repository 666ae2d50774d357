"""Pins of sessions: in memory, in the store that processes share, with their ends."""

import asyncio

import pytest

from routing.engine.sessions import Pin, Sessions
from routing.engine.store import Store, StoreAway
from routing.engine.stores.memory import MemoryStore

NAME = ("s", "m")


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


class Two:
    """Two processes over one store."""

    def __init__(self, **fields):
        self.clock = Clock()
        self.store = MemoryStore(self.clock, is_shared=True)
        self.here, self.there = Sessions(self.store, **fields), Sessions(self.store, **fields)


class Away(Store):
    """Never answers, or says so at once."""

    def __init__(self, hangs):
        self.hangs = hangs

    async def get(self, key):
        if self.hangs:
            await asyncio.sleep(30)
        raise StoreAway("away")

    async def swap(self, key, old, new, ttl_s):
        return await self.get(key)

    def now_s(self):
        return 1000.0


@pytest.mark.asyncio
async def test_a_session_stays_where_it_was_pinned_until_its_time_is_over():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    found = await two.here.find("ten_1", NAME)
    assert (found.channel_id, found.credential) == ("chn_a", "main")
    two.clock.now_s += 60
    assert await two.here.find("ten_1", NAME) is None


@pytest.mark.asyncio
async def test_each_use_begins_its_time_anew():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    two.clock.now_s += 50
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    two.clock.now_s += 50
    assert await two.here.find("ten_1", NAME) is not None


@pytest.mark.asyncio
async def test_another_process_knows_it_and_another_tenant_or_model_does_not():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    await two.here.told()
    assert (await two.there.find("ten_1", NAME)).channel_id == "chn_a"
    assert await two.there.find("ten_2", NAME) is None
    assert await two.there.find("ten_1", ("s", "other")) is None


@pytest.mark.asyncio
async def test_unpinned_is_unpinned_for_all_who_ask_afterwards():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    await two.here.told()
    two.here.unpin("ten_1", NAME)
    await two.here.told()
    assert await two.here.find("ten_1", NAME) is None
    assert await two.there.find("ten_1", NAME) is None


@pytest.mark.asyncio
async def test_an_older_word_does_not_undo_a_newer_one():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_b", "main", 60)
    two.here.learn("ten_1", NAME, Pin("chn_a", "main", 990.0, 2000.0))
    assert (await two.here.find("ten_1", NAME)).channel_id == "chn_b"
    two.here.learn("ten_1", NAME, Pin("chn_c", "main", 1001.0, 2000.0))
    assert (await two.here.find("ten_1", NAME)).channel_id == "chn_c"


@pytest.mark.asyncio
async def test_what_an_operator_unpinned_is_gone_from_the_store_too():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    await two.here.told()
    two.clock.now_s += 1
    two.there.learn("ten_1", NAME, Pin("", "", two.clock.now_s, two.clock.now_s + 60), is_final=True)
    await two.there.told()
    assert await Sessions(two.store).find("ten_1", NAME) is None


@pytest.mark.asyncio
async def test_only_what_is_news_is_written_again():
    two = Two()
    for _ in range(10):
        two.here.pin("ten_1", NAME, "chn_a", "main", 1000)
        two.clock.now_s += 1
    assert list(two.here.waiting) == [("ten_1", NAME)]
    two.here.waiting.clear()
    two.here.pin("ten_1", NAME, "chn_a", "main", 1000)
    assert not two.here.waiting
    two.clock.now_s += 30
    two.here.pin("ten_1", NAME, "chn_a", "main", 1000)
    assert two.here.waiting
    two.here.waiting.clear()
    two.here.pin("ten_1", NAME, "chn_a", "spare", 1000)
    assert two.here.waiting


@pytest.mark.asyncio
@pytest.mark.parametrize("hangs", [True, False])
async def test_a_store_that_is_away_holds_nobody_up(hangs):
    sessions = Sessions(Away(hangs))
    async with asyncio.timeout(5):  # a store that hangs would take six times that
        assert await sessions.find("ten_1", NAME) is None
    sessions.pin("ten_1", NAME, "chn_a", "main", 60)
    assert (await sessions.find("ten_1", NAME)).channel_id == "chn_a"
    for task in sessions._telling:
        task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [b"\xff\xff", b"\x93\x01", b"{}"])
async def test_what_cannot_be_read_is_a_new_session(value):
    two = Two()
    await two.store.swap("ten_1:session:m:s", None, value, 60)
    assert await two.here.find("ten_1", NAME) is None


@pytest.mark.asyncio
async def test_memory_is_bounded_and_the_oldest_goes_first():
    two = Two(capacity=100)
    two.here.pin("ten_2", NAME, "chn_z", "main", 60)
    for number in range(150):
        two.here.pin("ten_1", (f"s{number}", "m"), "chn_a", "main", 60)
    assert len(two.here) == 100
    assert two.here.known("ten_1", ("s149", "m")) and not two.here.known("ten_1", ("s0", "m"))
    # The neighbour that opened none of them keeps its own.
    assert two.here.known("ten_2", NAME)


@pytest.mark.asyncio
async def test_cleaning_forgets_what_is_over_at_its_interval():
    two = Two()
    two.here.pin("ten_1", NAME, "chn_a", "main", 60)
    two.here.pin("ten_1", ("t", "m"), "chn_a", "main", 600)
    two.here.clean_every("ten_1", 300)
    two.clock.now_s += 299
    assert two.here.clean_due() == [] and len(two.here) == 2
    two.clock.now_s += 1
    assert two.here.clean_due() == ["ten_1"] and len(two.here) == 1
    two.clock.now_s += 300
    assert two.here.clean_due() == ["ten_1"] and len(two.here) == 0
    assert not two.here.cleaning
