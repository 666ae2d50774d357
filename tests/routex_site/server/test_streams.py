"""Streams through both servers: slow readers, readers that stop, readers that leave, many at once."""

from __future__ import annotations

import asyncio
import socket

import pytest

#: What the kernel holds for a reader that stops, with room to spare; an unbounded server passes it in a blink.
KERNEL_BYTES = 12 * 1024 * 1024


async def read_stream(port: int, events: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /stream?n=%d&ms=20 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n" % events)
    received = await reader.read(-1)
    writer.close()
    expected = b"".join(b"%x\r\nevent %d\n\r\n" % (len(b"event %d\n" % n), n) for n in range(events)) + b"0\r\n\r\n"
    return received.endswith(b"\r\n\r\n" + expected)


def test_300_streams_at_once_come_whole(server):
    async def read_all() -> list[bool]:
        return await asyncio.gather(*(read_stream(server.port, 20) for _ in range(300)))

    assert asyncio.run(read_all()) == [True] * 300


def test_each_event_is_sent_at_once(server):
    with server.wire() as wire:
        wire.get("/stream?n=2&ms=3000")
        wire.sock.settimeout(2)  # the second event is not there yet
        assert wire.until(b"event 0\n")


def test_slow_reader_gets_every_byte_in_order(server):
    with server.wire(receive_buffer=4096) as wire:
        assert wire.get("/blocks").response().body == b"".join(b"%05d" % number * 2000 for number in range(500))


def test_reader_that_stops_holds_the_application_back(server):
    with server.wire() as wire:  # what the first stream loads is not the reader's
        wire.get("/endless").until(b"x" * 16384)
    ended = server.await_stat("endless_ended", 1)
    before_kib, before = server.memory_kib(), server.stat("endless_bytes")
    with server.wire(receive_buffer=4096) as wire:
        wire.get("/endless")
        sent = server.await_standstill("endless_bytes", before) - before
        assert sent < KERNEL_BYTES
        assert server.memory_kib() - before_kib < 2048
        received = 0
        while received <= sent:  # it goes on when the reader does
            received += len(wire.sock.recv(65536))
    server.await_stat("endless_ended", ended + 1)


def test_reader_that_stops_and_leaves_frees_the_application(server):
    ended, begun = server.stat("endless_ended"), server.stat("endless_bytes")
    with server.wire(receive_buffer=4096) as wire:
        wire.get("/endless")
        server.await_standstill("endless_bytes", begun)
    server.await_stat("endless_ended", ended + 1)


def test_pipelined_requests_of_a_reader_that_stops_wait_too(daphne):
    before, ended = daphne.stat("endless_bytes"), daphne.stat("endless_ended")
    with daphne.wire(receive_buffer=4096) as wire:
        wire.send(b"GET /endless HTTP/1.1\r\nhost: test\r\n\r\n" * 50)
        assert daphne.await_standstill("endless_bytes", before) - before < KERNEL_BYTES
    daphne.await_stat("endless_ended", ended + 1)


def test_application_learns_at_once_that_its_client_left(server):
    waiting, gone = server.stat("waiting"), server.stat("disconnects")
    with server.wire() as wire:
        wire.get("/wait")
        server.await_stat("waiting", waiting + 1)
        assert server.stat("disconnects") == gone
    server.await_stat("disconnects", gone + 1)


def test_application_that_ignores_its_clients_leave_is_cancelled(hasty_daphne):
    with hasty_daphne.wire() as wire:
        wire.get("/stubborn")
        hasty_daphne.await_stat("stubborn", 1)
        assert hasty_daphne.stat("stubborn_cancelled") == 0
    hasty_daphne.await_stat("stubborn_cancelled", 1)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux ends the connection, others do not")
def test_reader_that_stops_for_good_is_given_up(hasty):
    ended = hasty.stat("endless_ended")
    with hasty.wire(receive_buffer=4096) as wire:
        wire.get("/endless")
        hasty.await_stat("endless_ended", ended + 1)
