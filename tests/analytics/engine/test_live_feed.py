"""The feed over a real Valkey: what is written is heard by tenant, and a gap is always announced."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
import pytest_asyncio
import redis

from analytics.engine.live_feed import CHANNEL_PREFIX, Heard, LivePublisher, Resubscribed, live_row, subscribe
from tests.analytics.conftest import until

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def publisher(valkey):
    publisher = LivePublisher(valkey.url)
    publisher.start()
    yield publisher
    await publisher.close()


@pytest_asyncio.fixture
async def heard(valkey):
    """What a subscriber hears, in order; it hears from the start of the test."""
    messages: list[Heard | Resubscribed] = []

    async def listen() -> None:
        async for message in subscribe(valkey.url):
            messages.append(message)

    task = asyncio.create_task(listen())
    await until(lambda: messages)
    yield messages
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_is_one_message_for_each_of_its_tenants(publisher, heard, make_record):
    mine = [make_record(tenant_id="ten_a") for _ in range(3)]
    other = make_record(tenant_id="ten_b")
    publisher.publish([mine[0], other, *mine[1:]], 17)
    await until(lambda: len(heard) == 3)
    by_tenant = {message.tenant_id: message for message in heard[1:]}
    assert set(by_tenant) == {"ten_a", "ten_b"}
    assert by_tenant["ten_a"].recorded_us == 17
    message = json.loads(by_tenant["ten_a"].payload)
    assert message["type"] == "rows"
    assert message["recorded_us"] == 17
    assert message["rows"] == [msgspec.to_builtins(live_row(record)) for record in mine]


async def test_a_row_holds_what_the_list_shows_and_nothing_private(make_record):
    row = msgspec.to_builtins(live_row(make_record(error_message="secret", client_address="203.0.113.77")))
    assert row["output_tokens"] == 340
    assert row["attempts"] == 1
    assert not {"error_message", "client_address", "user_agent"} & set(row)


async def test_unknown_tokens_are_null(make_record):
    assert live_row(make_record(usage=None)).input_tokens is None


async def test_text_that_is_no_text_makes_the_pages_read_the_database(publisher, heard, make_record):
    publisher.publish([make_record(tenant_id="ten_a", asked_model="\ud800")], 1)
    await until(lambda: len(heard) == 2)
    assert heard[1].recorded_us is None


async def test_messages_of_another_form_are_passed_over(valkey, publisher, heard, make_record):
    with redis.Redis.from_url(valkey.url) as client:
        client.publish(CHANNEL_PREFIX + "ten_a", b"\xff nonsense")
        client.publish(CHANNEL_PREFIX + "ten_a", b'{"type":"dance"}')
    publisher.publish([make_record()], 1)
    await until(lambda: len(heard) == 2)
    assert heard[1].recorded_us == 1


async def test_killed_valkey_is_heard_again_and_what_was_missed_is_announced(valkey, publisher, heard, make_record):
    valkey.kill()
    publisher.publish([make_record(tenant_id="ten_a"), make_record(tenant_id="ten_a")], 5)
    await until(lambda: publisher.unpublished == 2)
    await asyncio.to_thread(valkey.start)
    await until(lambda: Resubscribed() in heard[1:])
    # Heard or not depends on who of the two was first; with the new subscription the pages read the database anyway.
    publisher.publish([make_record(tenant_id="ten_a")], 9)
    await until(lambda: any(isinstance(message, Heard) and message.recorded_us == 9 for message in heard))
    assert not any(isinstance(message, Heard) and message.recorded_us == 5 for message in heard)


async def test_a_publisher_that_lost_valkey_tells_listeners_who_did_not(valkey, heard, make_record):
    """The publisher's own connection may fail alone; then a later message must not hide the gap."""
    publisher = LivePublisher(valkey.url)
    publisher.publish([make_record(tenant_id="ten_a")], 5)
    publisher._forget([publisher._waiting.popleft()[0]])
    publisher.start()
    publisher.publish([make_record(tenant_id="ten_b")], 6)
    await until(lambda: len(heard) == 3)
    assert Heard("ten_a", '{"type":"replay"}', None) in heard
    await publisher.close()


async def test_batches_past_the_bound_are_forgotten_oldest_first(valkey, make_record):
    publisher = LivePublisher(valkey.url)
    for _ in range(55):
        publisher.publish([make_record()], 1)
    assert publisher.unpublished == 5
    await publisher.close()


async def test_closing_twice_does_no_harm(valkey):
    publisher = LivePublisher(valkey.url)
    publisher.start()
    await publisher.close()
    await publisher.close()
