"""Request bodies: kept in memory, bounded, and a refusal that the client can read."""

from __future__ import annotations

import contextlib

import pytest

MIB = 1024 * 1024
LIMIT = 4 * MIB  # of the shared servers


def test_large_body_comes_in_one_message(daphne):
    with daphne.wire() as wire:
        answer = wire.post("/echo", b"ab" * (2 * MIB)).response().json
    assert answer == {"messages": 1, "length": 4 * MIB, "sum": sum(b"ab") * 2 * MIB % 65521}


def test_body_is_never_written_to_a_file(server):
    with server.wire() as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 500_000)
        assert server.ask("/stats") is not None  # the half is read by now
        assert not [name for name in server.open_files() if "tmp" in name and "deleted" in name]
        assert wire.send(b"x" * 500_000).response().json["length"] == 1_000_000


def test_body_of_exactly_the_limit_is_served(server):
    with server.wire() as wire:
        assert wire.post("/limited", b"x" * LIMIT).response().json == {"length": LIMIT}
        assert wire.post("/echo", b"x" * LIMIT).response().json["length"] == LIMIT


def test_client_that_sends_all_first_reads_the_applications_413(server):
    with server.wire() as wire:
        response = wire.post("/limited", b"x" * (20 * MIB)).response()
        assert (response.status, response.json) == (413, {"error": "too large for me"})
        assert wire.get("/hello").response().body == b"hello"


def test_chunked_body_over_the_limit_gets_the_applications_413(server):
    with server.wire() as wire:
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            wire.send(b"%x\r\n%b\r\n" % (MIB, b"x" * MIB))
        response = wire.send(b"0\r\n\r\n").response()
        assert (response.status, response.json) == (413, {"error": "too large for me"})


def test_application_without_a_limit_is_stopped_and_never_sees_a_part_as_the_whole(server):
    stopped = server.stat("told_to_stop_reading")
    for head in (f"content-length: {2 * LIMIT}", "transfer-encoding: chunked"):
        chunked = head.startswith("t")
        with server.wire() as wire:
            wire.send(f"POST /echo HTTP/1.1\r\nhost: test\r\n{head}\r\n\r\n".encode())
            wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (2 * LIMIT, b"x" * 2 * LIMIT) if chunked else b"x" * 2 * LIMIT)
            assert wire.response().status == 413
    server.await_stat("told_to_stop_reading", stopped + 2)


def test_body_over_the_limit_is_not_kept(server):
    with server.wire() as wire:
        wire.post("/limited", b"x" * (2 * LIMIT)).response()
    before_kib = server.memory_kib()
    with server.wire() as wire:
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(60):
            wire.send(b"%x\r\n%b\r\n" % (MIB, b"x" * MIB))
        assert server.memory_kib() - before_kib < 16 * 1024


def test_body_that_announces_too_much_is_not_kept_at_all(server):
    def half_a_body(wire):
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n\r\n" % (16 * MIB))
        wire.send(b"x" * (8 * MIB))

    before_kib = server.memory_kib()
    with contextlib.ExitStack() as wires:
        for _ in range(8):
            half_a_body(wires.enter_context(server.wire()))
        server.ask("/stats")
        assert server.memory_kib() - before_kib < 4 * LIMIT // 1024


@pytest.mark.parametrize("path", ["/hello", "/fail"])
def test_body_goes_with_its_request_whether_it_was_read_or_not(daphne, path):
    for _ in range(5):
        with daphne.wire() as wire:
            wire.post(path, b"x" * LIMIT).until(b"\r\n\r\n")
    before_kib = daphne.memory_kib()
    for _ in range(30):
        with daphne.wire() as wire:
            wire.post(path, b"x" * LIMIT).until(b"\r\n\r\n")
    assert daphne.memory_kib() - before_kib < 16 * 1024


def test_too_large_body_is_refused_before_it_is_sent_when_the_client_asks(server):
    with server.wire() as wire:
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ncontent-length: 9999999\r\nexpect: 100-continue\r\n\r\n")
        assert wire.response().status == 413


def test_absurd_length_is_refused_without_waiting_for_the_body(server):
    with server.wire() as wire:
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999999\r\n\r\n")
        assert wire.response().status == 413


def test_body_without_length_that_never_ends_is_cut(daphne):
    piece = b"%x\r\n%b\r\n" % (8 * MIB, b"x" * 8 * MIB)
    with daphne.wire() as wire:
        wire.send(b"POST /limited HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                wire.send(piece)
        except OSError:
            return
    raise AssertionError("320 MiB were read")
