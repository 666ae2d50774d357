"""The live page's websocket: members only, no gap, no double, and a slow page costs the others nothing."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from analytics import consumers, live
from analytics.consumers import COME_BACK, RequestsConsumer
from analytics.engine.live_feed import Heard, LivePublisher
from analytics.engine.sink import RecordSink
from analytics.live import RELOAD, WAITING_CHARS, LiveHub, TooSlow, live_hub
from tenants.models import User
from tests.analytics.conftest import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _own_valkey(valkey, settings):
    settings.REDIS_URL = valkey.url


@pytest_asyncio.fixture
async def sink(request_log, valkey, tmp_path):
    """A gateway's sink on the shared database and the killable Valkey."""
    sink = RecordSink(conninfo=request_log, spill_folder=tmp_path / "spill", publisher=LivePublisher(valkey.url))
    await sink.start()
    yield sink
    await sink.close()


class Page:
    """A page as its script behaves: it keeps rows by id and the highest `recorded_us`, and connects again."""

    def __init__(self, slug: str, user: object, consumer: type[RequestsConsumer] = RequestsConsumer) -> None:
        self.slug, self.user, self.consumer = slug, user, consumer
        self.rows: dict[str, dict] = {}
        self.recorded_us = 0
        self.socket: WebsocketCommunicator | None = None

    async def connect(self, **query: object) -> tuple[bool, int | None]:
        path = f"/ws/t/{self.slug}/requests/?{urlencode(query)}"
        self.socket = WebsocketCommunicator(self.consumer.as_asgi(), path)
        self.socket.scope |= {"user": self.user, "url_route": {"kwargs": {"slug": self.slug}}}
        is_accepted, code = await self.socket.connect(timeout=10)
        return is_accepted, code

    async def receive(self) -> dict:
        assert self.socket
        message = await self.socket.receive_output(timeout=30)
        if message["type"] == "websocket.close":
            return message
        body = json.loads(message["text"])
        if body["type"] == "rows":
            self.recorded_us = max(self.recorded_us, body["recorded_us"])
            self.rows |= {row["id"]: row for row in body["rows"]}
        return body

    async def receive_until(self, *ids: str) -> None:
        while not set(ids) <= set(self.rows):
            await self.receive()

    async def disconnect(self) -> None:
        if self.socket is not None:
            await self.socket.disconnect(timeout=10)


@pytest_asyncio.fixture
async def page(cast):
    page = Page("acme", cast.bob)
    yield page
    await page.disconnect()
    assert live_hub().sockets == 0


# --- Who may look -----------------------------------------------------------------------------------------------------


async def test_a_member_is_accepted(page):
    assert await page.connect() == (True, None)


@pytest.mark.parametrize("who", ["outsider", "nobody", "switched off", "platform admin"])
async def test_who_is_no_member_gets_what_a_tenant_that_does_not_exist_gives(cast, who):
    user = {
        "outsider": cast.charlie,
        "nobody": AnonymousUser(),
        "switched off": User(id=cast.alice.id, email=cast.alice.email, is_active=False),
        "platform admin": User(is_superuser=True, is_staff=True),
    }[who]
    assert await Page("acme", user).connect() == await Page("no-such-tenant", user).connect() == (False, 4404)


async def test_rows_of_another_tenant_never_arrive(cast, sink, make_record, page):
    other = Page("rival", cast.charlie)
    await page.connect(since=1)
    await other.connect(since=1)
    mine = [make_record(tenant_id=cast.acme.id) for _ in range(100)]
    theirs = [make_record(tenant_id=cast.rival.id) for _ in range(100)]
    for pair in zip(mine, theirs, strict=True):
        for record in pair:
            sink.put(record)
        await asyncio.sleep(0)
    await page.receive_until(*(record.id for record in mine))
    await other.receive_until(*(record.id for record in theirs))
    assert set(page.rows) == {record.id for record in mine}
    assert set(other.rows) == {record.id for record in theirs}
    await other.disconnect()


# --- No gap, no double ------------------------------------------------------------------------------------------------


async def test_a_finished_request_arrives_in_the_shape_of_the_list(cast, sink, make_record, page):
    await page.connect()
    record = make_record(tenant_id=cast.acme.id)
    sink.put(record)
    await page.receive_until(record.id)
    row = page.rows[record.id]
    assert (row["asked_model"], row["output_tokens"], row["status"], row["total_ms"]) == ("fast", 340, 200, 901.5)


async def test_a_replayed_row_equals_the_live_one(cast, sink, make_record, page):
    await page.connect()
    record = make_record(tenant_id=cast.acme.id)
    sink.put(record)
    await page.receive_until(record.id)
    later = Page("acme", cast.alice)
    await later.connect(since=page.recorded_us)
    await later.receive_until(record.id)
    assert later.rows == page.rows
    assert later.recorded_us == page.recorded_us
    await later.disconnect()


async def test_what_finished_while_the_page_was_away_is_replayed(cast, sink, make_record, page):
    await page.connect()
    records = [make_record(tenant_id=cast.acme.id) for _ in range(30)]
    sink.put(records[0])
    await page.receive_until(records[0].id)
    await page.disconnect()
    for record in records[1:]:
        sink.put(record)
    await until(lambda: sink.state.depth == 0)
    await page.connect(since=page.recorded_us)
    await page.receive_until(*(record.id for record in records))
    assert len(page.rows) == 30


async def test_rows_written_while_connecting_are_not_missed(cast, sink, make_record, page):
    """The page comes and goes under load; with the rows it keeps it ends with every one."""
    is_over = asyncio.Event()
    sent: list[str] = []

    async def traffic() -> None:
        while not is_over.is_set():
            record = make_record(tenant_id=cast.acme.id)
            sent.append(record.id)
            sink.put(record)
            await asyncio.sleep(0.01)

    load = asyncio.create_task(traffic())
    await page.connect(since=1)
    for _ in range(5):
        await page.receive()
        await page.disconnect()
        await page.connect(since=page.recorded_us)
    is_over.set()
    await load
    await page.receive_until(*sent)
    assert set(page.rows) == set(sent)


async def test_killed_valkey_leaves_no_gap(cast, sink, make_record, page, valkey):
    await page.connect(since=1)
    first, missed, last = [make_record(tenant_id=cast.acme.id) for _ in range(3)]
    sink.put(first)
    await page.receive_until(first.id)
    valkey.kill()
    sink.put(missed)
    await until(lambda: sink.state.depth == 0)
    await asyncio.to_thread(valkey.start)
    await page.receive_until(missed.id)
    sink.put(last)
    await page.receive_until(last.id)
    assert set(page.rows) == {first.id, missed.id, last.id}


async def test_a_page_that_missed_more_than_a_replay_holds_is_told_to_load_again(
    cast, sink, make_record, page, monkeypatch
):
    monkeypatch.setattr(live, "REPLAY_LIMIT", 10)
    for _ in range(11):
        sink.put(make_record(tenant_id=cast.acme.id))
    await until(lambda: sink.state.depth == 0)
    await page.connect(since=1)
    assert await page.receive() == json.loads(RELOAD)


@pytest.mark.parametrize("since", ["", "yesterday", "-1", "9" * 40, "1e9", "٣"])
async def test_an_odd_since_asks_for_nothing_old(cast, request_log, page, since):
    assert await page.connect(since=since) == (True, None)


# --- Bounds -----------------------------------------------------------------------------------------------------------


async def test_a_connection_ends_after_its_time_and_the_page_is_to_come_back(page, monkeypatch):
    monkeypatch.setattr(consumers, "CONNECTION_S", 0.05)
    await page.connect()
    assert await page.receive() == {"type": "websocket.close", "code": COME_BACK}


async def test_a_page_that_does_not_read_is_told_to_come_back_and_the_others_go_on(
    cast, sink, make_record, page, monkeypatch
):
    monkeypatch.setattr(consumers, "SEND_LIMIT_S", 0.05)

    class NobodyReads(RequestsConsumer):
        async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False):
            await asyncio.Event().wait()

    stuck = Page("acme", cast.alice, NobodyReads)
    await page.connect(since=1)
    await stuck.connect(since=1)
    records = [make_record(tenant_id=cast.acme.id) for _ in range(5)]
    for record in records:
        sink.put(record)
    await page.receive_until(*(record.id for record in records))
    assert await stuck.receive() == {"type": "websocket.close", "code": COME_BACK}
    await until(lambda: live_hub().sockets == 1)
    await stuck.disconnect()


async def test_a_page_whose_messages_pile_up_is_told_to_come_back(cast, page, request_log):
    await page.connect()
    await until(lambda: live_hub().sockets == 1)
    [socket] = live_hub()._sockets[cast.acme.id]
    # All at once: the page's task gets no turn in between.
    for _ in range(3):
        socket.put(Heard(cast.acme.id, "x" * (WAITING_CHARS // 2), 1))
    assert await page.receive() == {"type": "websocket.close", "code": COME_BACK}


async def test_a_socket_past_its_bound_holds_nothing_and_says_so():
    hub = LiveHub("redis://127.0.0.1:1/0")
    socket = hub.join("ten_a", recorded_us=0)
    for place in range(3):
        socket.put(Heard("ten_a", "x" * (WAITING_CHARS // 2), place))
    with pytest.raises(TooSlow):
        await socket.get()
    hub.leave(socket)


async def test_the_last_page_to_leave_ends_the_subscription(valkey):
    hub = LiveHub(valkey.url)
    first, second = hub.join("ten_a", recorded_us=0), hub.join("ten_b", recorded_us=0)
    task = hub._task
    hub.leave(first)
    assert hub._task is task
    hub.leave(second)
    hub.leave(second)
    assert task is not None
    await asyncio.wait([task])
    assert task.cancelled()
    assert hub.sockets == 0
