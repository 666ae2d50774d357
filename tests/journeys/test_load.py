"""Many streams at once and readers that stop: nothing lost, nothing cut, memory bounded."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from analytics.models import RequestRecord
from tests.journeys.load import streams
from tests.journeys.processes import MB, SERVER, Gateway, eventually, open_raw
from tests.journeys.tenants import as_bytes, chat

#: What the project promises for each server.
STREAMS = {"daphne": 500, "uvicorn": 1000}[SERVER]
READERS = 20
#: The most that a reader who has stopped may cost.
READER_BYTES = 2 * MB


@pytest.fixture
def own_gateway(shopper, tmp_path):
    """A gateway whose memory nobody else uses."""
    process = Gateway(tmp_path, "loaded")
    yield process
    process.stop()


@pytest.mark.django_db(transaction=True)
def test_many_streams_at_once_are_all_whole_and_leave_no_memory_behind(own_gateway, upstream, shopper):
    levels = []
    for round_ in range(2):
        name = f"fake-many-{round_}"
        streamed = asyncio.run(streams(own_gateway, upstream, shopper.key, name, STREAMS))
        sent = {line["model"]: line["sent_sha256"] for line in upstream.seen_all() if line["model"].startswith(name)}
        assert len(streamed) == len(sent) == STREAMS
        assert [one.model for one in streamed if one.status != 200 or not one.is_whole] == []
        assert {one.model: one.sha256 for one in streamed} == sent, "some stream has other bytes than its upstream sent"
        eventually(lambda: own_gateway.health["requests"]["in_flight"] == 0, "nothing runs any more")

        def recorded(name=name):
            with shopper.scope():
                rows = RequestRecord.objects.filter(asked_model__startswith=f"{name}-", outcome="answered")
                return rows.values("id").distinct().count() == rows.count() == STREAMS

        eventually(recorded, "a record of each stream")
        levels.append(own_gateway.rss_bytes)
    # The first round shows what so many buffers take; a second one must find all of that free again.
    assert levels[1] - levels[0] < 8 * MB, levels


def stop_reading(gateway, upstream, key, name, watch_s):
    """Let readers stop in the middle of endless streams; return the memory that each cost, at the most."""
    with open_raw(gateway.port, "/v1/chat/completions", as_bytes(chat("fake-warm", stream=True)), key) as client:
        client.recv(4096)
    before = gateway.rss_bytes
    readers: list[socket.socket] = []

    def sent():
        return sum(line["sent_bytes"] for line in upstream.seen_all() if line["model"].startswith(name))

    try:
        for number in range(READERS):
            body = as_bytes(chat(f"{name}-{number}+endless", stream=True))
            readers.append(open_raw(gateway.port, "/v1/chat/completions", body, key, receive_buffer=8192))
            assert readers[-1].recv(15) == b"HTTP/1.1 200 OK"
        last = -1

        def stands_still():
            nonlocal last
            time.sleep(0.5)
            last, earlier = sent(), last
            return last == earlier

        eventually(stands_still, "the upstream is no longer read")
        most, watch_until_s = gateway.rss_bytes, time.monotonic() + watch_s
        while time.monotonic() < watch_until_s:
            time.sleep(0.25)
            most = max(most, gateway.rss_bytes)
        assert sent() == last, "somebody reads the upstream on and on"
    finally:
        for reader in readers:
            reader.close()
    return (most - before) / READERS


def test_readers_that_stop_cost_little_and_stop_their_upstreams(own_gateway, upstream, shopper):
    cost = stop_reading(own_gateway, upstream, shopper.key, "fake-stopped", watch_s=1.5)
    assert cost < READER_BYTES, f"{cost / MB:.1f} MB a reader"
    eventually(lambda: own_gateway.health["requests"]["in_flight"] == 0, "nothing runs any more")


@pytest.mark.slow
def test_readers_that_stop_for_half_a_minute_cost_no_more(own_gateway, upstream, shopper):
    cost = stop_reading(own_gateway, upstream, shopper.key, "fake-stopped-long", watch_s=30)
    print(f"{cost / MB:.2f} MB for each reader that stopped for 30 s")
    assert cost < READER_BYTES
    eventually(lambda: own_gateway.health["requests"]["in_flight"] == 0, "nothing runs any more")


@pytest.mark.slow
def test_memory_is_flat_over_many_rounds_of_streams(own_gateway, upstream, shopper):
    levels = []
    for round_ in range(10):
        streamed = asyncio.run(streams(own_gateway, upstream, shopper.key, f"fake-soak-{round_}", STREAMS))
        assert all(one.status == 200 and one.is_whole for one in streamed)
        eventually(lambda: own_gateway.health["requests"]["in_flight"] == 0, "nothing runs any more")
        levels.append(own_gateway.rss_bytes)
    print([round(level / MB) for level in levels])
    assert max(levels[2:]) - levels[1] < 8 * MB, levels


def test_a_client_that_sends_and_reads_slowly_gets_all_of_it(gateway, upstream, shopper, model):
    body = as_bytes(chat(model, "one two three four five six seven eight", stream=True))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shopper.key}\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    request, answer = head.encode() + body, b""
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), 20):
            client.sendall(request[at : at + 20])
            time.sleep(0.005)
        while piece := client.recv(50):
            answer += piece
            time.sleep(0.002)
    assert answer.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in answer
    assert upstream.seen(model)[0]["finished"]
