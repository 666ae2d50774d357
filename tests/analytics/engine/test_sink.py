"""The sink against a real PostgreSQL that is slow, refuses, is killed and comes back: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from analytics.engine.live_feed import Heard, LivePublisher, Resubscribed, subscribe
from analytics.engine.sink import RecordSink
from tests.analytics.conftest import until

pytestmark = pytest.mark.asyncio


async def all_written(sink: RecordSink) -> None:
    await until(lambda: sink.state.depth == 0 and not sink.state.is_spilling)


async def test_records_reach_the_table(start_sink, postgres, make_record):
    sink = await start_sink()
    records = [make_record() for _ in range(1200)]
    for record in records:
        assert sink.put(record)
    await all_written(sink)
    assert sorted(postgres.ids()) == sorted(record.id for record in records)
    assert sink.state.written == 1200
    assert sink.state.spilled == sink.state.dropped == sink.state.rejected == 0


async def test_a_record_is_written_without_another_one_coming(start_sink, postgres, make_record):
    sink = await start_sink()
    for _ in range(3):
        record = make_record()
        sink.put(record)
        await all_written(sink)
        assert record.id in postgres.ids()


async def test_a_full_hand_off_drops_and_counts(start_sink, postgres, make_record):
    sink = await start_sink(capacity=100)
    # No await in between: the writer has had no turn.
    taken = [sink.put(make_record()) for _ in range(130)]
    assert taken == [True] * 100 + [False] * 30
    assert sink.state.dropped == 30
    assert sink.state.depth == 100
    await all_written(sink)
    assert len(postgres.ids()) == 100


async def test_dropped_records_are_said_in_the_log(start_sink, make_record, caplog):
    sink = await start_sink(capacity=1)
    for _ in range(8):
        sink.put(make_record())
    await sink.close()
    assert "7 request records were dropped" in caplog.text


async def test_close_writes_what_is_left(start_sink, postgres, make_record):
    sink = await start_sink()
    for _ in range(700):
        sink.put(make_record())
    await sink.close()
    assert len(postgres.ids()) == 700
    assert sink.put(make_record()) is False


async def test_age_of_the_oldest_unwritten_record_is_known(start_sink, make_record):
    sink = await start_sink(now_us=lambda: 5_000_000)
    assert sink.state.oldest_unwritten_s == 0
    sink.put(make_record(finished_us=2_000_000))
    sink.put(make_record(finished_us=4_000_000))
    assert sink.state.oldest_unwritten_s == 3


async def test_killed_postgres_comes_back_and_nothing_is_lost_or_doubled(start_sink, postgres, make_record, tmp_path):
    sink = await start_sink()
    sent: list[str] = []
    is_over = asyncio.Event()

    async def traffic() -> None:
        while not is_over.is_set():
            for _ in range(20):
                record = make_record()
                assert sink.put(record)
                sent.append(record.id)
            await asyncio.sleep(0.005)

    load = asyncio.create_task(traffic())
    for _ in range(2):
        written = sink.state.written
        await until(lambda written=written: sink.state.written > written + 200)
        postgres.kill()
        spilled = sink.state.spilled
        await until(lambda spilled=spilled: sink.state.spilled > spilled + 200)
        assert sink.state.spill_bytes > 0
        await asyncio.to_thread(postgres.start)
    is_over.set()
    await load
    await all_written(sink)
    assert sorted(postgres.ids()) == sorted(sent)
    assert sink.state.dropped == sink.state.rejected == 0
    assert list((tmp_path / "spill").iterdir()) == []


async def test_records_spilled_while_postgres_was_never_there_are_written_in_order(start_sink, postgres, make_record):
    postgres.kill()
    sink = await start_sink()
    sent = []
    for step in range(4):
        record = make_record()
        sent.append(record.id)
        sink.put(record)
        await until(lambda step=step: sink.state.spilled == step + 1)
    postgres.start()
    await all_written(sink)
    assert postgres.ids() == sent


async def test_a_slow_postgres_gets_each_record_once(start_sink, postgres, make_record):
    sink = await start_sink()
    with postgres.superuser() as connection, connection.transaction():
        # The COPY waits for this lock for longer than the sink has patience, and then succeeds after all.
        connection.execute("LOCK TABLE analytics_requestrecord IN ACCESS EXCLUSIVE MODE")
        for _ in range(30):
            sink.put(make_record())
        await until(lambda: sink.state.spilled == 30)
        sink.put(make_record())
        await until(lambda: sink.state.spilled == 31)
    await all_written(sink)
    assert len(postgres.ids()) == len(set(postgres.ids())) == 31


async def test_a_missing_table_is_waited_for(start_sink, postgres, make_record):
    """A gateway of the next version may be up before the migration is."""
    with postgres.superuser() as connection:
        connection.execute("ALTER TABLE analytics_requestrecord RENAME TO hidden")
        try:
            sink = await start_sink()
            sink.put(make_record())
            await until(lambda: sink.state.spilled == 1)
        finally:
            connection.execute("ALTER TABLE hidden RENAME TO analytics_requestrecord")
    await all_written(sink)
    assert len(postgres.ids()) == 1


async def test_a_full_spill_drops_and_counts(start_sink, postgres, make_record):
    postgres.kill()
    sink = await start_sink(spill_limit_bytes=10_000)
    for _ in range(100):
        sink.put(make_record())
    await until(lambda: sink.state.depth == 0)
    state = sink.state
    assert 0 < state.spilled < 100
    assert state.spilled + state.dropped == 100
    postgres.start()
    await all_written(sink)
    assert len(postgres.ids()) == state.spilled


async def test_a_poisonous_record_is_stored_cleaned_beside_the_others(start_sink, postgres, make_record):
    sink = await start_sink()
    poison = [
        make_record(asked_model="nul\0", error_message="half \ud800 pair"),
        make_record(user_agent="x" * 1_000_000),
        make_record(status=10**9, request_bytes=10**30),
        make_record(client_request_id=None, started_us=-(10**18)),
    ]
    records = [make_record() for _ in range(20)]
    for record in records[:10] + poison + records[10:]:
        sink.put(record)
    await all_written(sink)
    assert sorted(postgres.ids()) == sorted(record.id for record in records + poison)
    assert sink.state.rejected == 0


async def test_a_record_that_postgres_refuses_costs_no_other(start_sink, postgres, make_record, monkeypatch):
    # However slow the machine: a batch that takes long goes to the spill as well, and would be refused twice.
    monkeypatch.setattr("analytics.engine.sink.PATIENCE_S", 60.0)
    sink = await start_sink()
    with postgres.superuser() as connection:
        connection.execute("ALTER TABLE analytics_requestrecord ADD CONSTRAINT no_cats CHECK (asked_model <> 'cat')")
        try:
            records = [make_record(asked_model="cat" if place == 17 else "dog") for place in range(40)]
            for record in records:
                sink.put(record)
            await all_written(sink)
        finally:
            connection.execute("ALTER TABLE analytics_requestrecord DROP CONSTRAINT no_cats")
    assert sorted(postgres.ids()) == sorted(record.id for record in records if record is not records[17])
    assert sink.state.rejected == 1
    assert sink.state.written == 39


async def test_a_record_put_twice_is_stored_once(start_sink, postgres, make_record):
    sink = await start_sink()
    record = make_record()
    sink.put(record)
    sink.put(record)
    await all_written(sink)
    sink.put(record)
    await all_written(sink)
    assert postgres.ids() == [record.id]


async def test_spill_of_a_dead_process_is_written_at_the_next_start(start_sink, postgres, make_record, tmp_path):
    postgres.kill()
    dying = await start_sink()
    records = [make_record() for _ in range(600)]
    for record in records:
        dying.put(record)
    await dying.close(timeout_s=1)
    assert dying.state.spilled == 600
    postgres.start()
    heir = await start_sink()
    await all_written(heir)
    assert sorted(postgres.ids()) == sorted(record.id for record in records)
    assert list((tmp_path / "spill").iterdir()) == []


async def test_close_does_not_wait_for_a_postgres_that_hangs(start_sink, postgres, make_record):
    sink = await start_sink()
    with postgres.superuser() as connection, connection.transaction():
        connection.execute("LOCK TABLE analytics_requestrecord IN ACCESS EXCLUSIVE MODE")
        sink.put(make_record())
        async with asyncio.timeout(20):
            await sink.close(timeout_s=0.1)
    assert sink.state.spilled == 1


async def test_a_slow_postgres_does_not_slow_the_hand_off(start_sink, postgres, make_record):
    sink = await start_sink()
    with postgres.superuser() as connection, connection.transaction():
        connection.execute("LOCK TABLE analytics_requestrecord IN ACCESS EXCLUSIVE MODE")
        sink.put(make_record())
        await until(lambda: sink.state.is_spilling)
        for _ in range(5000):
            assert sink.put(make_record())
        await until(lambda: sink.state.depth == 0)
    await all_written(sink)
    assert len(postgres.ids()) == 5001


GATEWAY = """
import asyncio, json, sys, time
from pathlib import Path
from analytics.engine.record import RequestRecord
from analytics.engine.live_feed import Heard, LivePublisher, Resubscribed, subscribe
from analytics.engine.sink import RecordSink
from tenants.engine.ids import new_id

async def main():
    sink = RecordSink(conninfo=sys.argv[1], spill_folder=Path(sys.argv[2]))
    await sink.start()
    while True:
        now_us = time.time_ns() // 1000
        record = RequestRecord(id=new_id("req"), tenant_id="ten_1", started_us=now_us, finished_us=now_us)
        assert sink.put(record)
        print(json.dumps([now_us, record.id]), flush=True)
        await asyncio.sleep(0.002)

asyncio.run(main())
"""


@pytest.mark.parametrize("is_database_up", [True, False])
async def test_a_killed_process_loses_at_most_its_last_second(start_sink, postgres, tmp_path, is_database_up):
    if not is_database_up:
        postgres.kill()
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, postgres.conninfo, str(tmp_path / "spill")], stdout=subprocess.PIPE, text=True
    )
    accepted: list[tuple[int, str]] = []
    reader = threading.Thread(target=lambda: accepted.extend(map(json.loads, process.stdout)))
    reader.start()
    start_us = time.time_ns() // 1000
    await until(lambda: accepted and accepted[-1][0] - accepted[0][0] > 2_000_000)
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    await asyncio.to_thread(reader.join)
    assert accepted[0][0] > start_us
    postgres.start()
    heir = await start_sink()
    await all_written(heir)
    stored = postgres.ids()
    assert len(stored) == len(set(stored))
    killed_us = accepted[-1][0]
    lost = [finished_us for finished_us, record_id in accepted if record_id not in set(stored)]
    assert all(killed_us - finished_us <= 1_000_000 for finished_us in lost)
    assert len(stored) > 200


async def test_the_writer_works_only_as_the_writer_role(postgres, make_record):
    with psycopg.connect(postgres.conninfo) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("COPY analytics_requestrecord FROM STDIN")


async def test_what_is_written_is_published_and_lost_valkey_disturbs_nothing(start_sink, postgres, valkey, make_record):
    publisher = LivePublisher(valkey.url)
    sink = await start_sink(publisher=publisher)
    messages: list[Heard | Resubscribed] = []

    async def listen() -> None:
        async for message in subscribe(valkey.url):
            messages.append(message)

    listener = asyncio.create_task(listen())
    await until(lambda: messages)
    records = [make_record(tenant_id="ten_a") for _ in range(3)]
    sink.put(records[0])
    await until(lambda: len(messages) == 2)
    assert records[0].id in messages[1].payload
    with postgres.superuser() as connection:
        [(recorded_us,)] = connection.execute(
            "SELECT (extract(epoch FROM recorded_at) * 1000000)::bigint FROM analytics_requestrecord"
        )
    assert messages[1].recorded_us == recorded_us
    valkey.kill()
    sink.put(records[1])
    await until(lambda: sink.state.unpublished == 1)
    sink.put(records[2])
    await all_written(sink)
    assert sorted(postgres.ids()) == sorted(record.id for record in records)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def test_rows_from_the_spill_make_pages_read_the_database(start_sink, postgres, valkey, make_record):
    publisher = LivePublisher(valkey.url)
    postgres.kill()
    sink = await start_sink(publisher=publisher)
    sink.put(make_record(tenant_id="ten_a"))
    await until(lambda: sink.state.spilled == 1)
    subscription = subscribe(valkey.url)
    assert isinstance(await anext(subscription), Resubscribed)
    postgres.start()
    assert await anext(subscription) == Heard("ten_a", '{"type":"replay"}', None)
    await subscription.aclose()
