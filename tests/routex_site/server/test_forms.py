"""Forms reach their application while they arrive, and are never held whole."""

from __future__ import annotations

import select

import pytest

MIB = 1024 * 1024
LIMIT = 4 * MIB  # of the shared servers
FORM = "content-type: multipart/form-data; boundary=b"


def begin_form(wire, path, length=None):
    """Send the head of a form."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return wire.send(f"POST {path} HTTP/1.1\r\nhost: test\r\n{FORM}\r\n{framing}\r\n\r\n".encode())


def test_an_application_begins_before_the_form_is_whole(server):
    begun = server.stat("drains_begun")
    with server.wire() as wire:
        begin_form(wire, "/drain", 200_000).send(b"x" * 100_000)
        server.await_stat("drains_begun", begun + 1)
        assert wire.send(b"x" * 100_000).response().json == {"length": 200_000}
        assert wire.get("/hello").response().body == b"hello"


def test_a_chunked_form_arrives_whole(server):
    with server.wire() as wire:
        begin_form(wire, "/drain")
        for _ in range(3):
            wire.send(b"%x\r\n%b\r\n" % (100_000, b"x" * 100_000))
        assert wire.send(b"0\r\n\r\n").response().json == {"length": 300_000}
        assert wire.get("/hello").response().body == b"hello"


def test_an_empty_form_is_a_request_like_any_other(server):
    with server.wire() as wire:
        assert begin_form(wire, "/drain", 0).response().json == {"length": 0}


def test_an_answer_that_needs_no_form_is_read_and_the_connection_goes_on(daphne):
    with daphne.wire() as wire:
        begin_form(wire, "/hello", 2 * MIB).send(b"x" * MIB)
        assert wire.response().body == b"hello"
        wire.send(b"x" * MIB).get("/204").get("/hello")
        assert wire.response(has_body=False).status == 204
        assert wire.response().body == b"hello"


def test_an_application_that_fails_before_the_form_is_whole_is_told_as_one(daphne):
    with daphne.wire() as wire:
        begin_form(wire, "/fail", 2 * MIB).send(b"x" * MIB)
        assert wire.response().status == 500
        assert wire.send(b"x" * MIB).get("/hello").response().body == b"hello"


def test_a_client_that_leaves_in_the_middle_is_told_to_the_application(server):
    begun, stopped = server.stat("drains_begun"), server.stat("told_to_stop_draining")
    with server.wire() as wire:
        begin_form(wire, "/drain", 200_000).send(b"x" * 100_000)
        server.await_stat("drains_begun", begun + 1)
    server.await_stat("told_to_stop_draining", stopped + 1)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_form_over_the_limit_gets_the_applications_413(server, is_chunked):
    with server.wire() as wire:
        begin_form(wire, "/limited", None if is_chunked else 20 * MIB)
        for _ in range(20):
            wire.send(b"%x\r\n%b\r\n" % (MIB, b"x" * MIB) if is_chunked else b"x" * MIB)
        wire.send(b"0\r\n\r\n" if is_chunked else b"")
        response = wire.response()
        assert (response.status, response.json) == (413, {"error": "too large for me"})


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_application_without_a_limit_never_takes_a_part_of_a_form_for_the_whole(server, is_chunked):
    with server.wire() as wire:
        begin_form(wire, "/drain", None if is_chunked else 2 * LIMIT)
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (2 * LIMIT, b"x" * 2 * LIMIT) if is_chunked else b"x" * 2 * LIMIT)
        assert wire.response().status == 413


def test_a_form_that_stalls_is_cut(hasty_daphne):
    with hasty_daphne.wire() as wire:
        begin_form(wire, "/drain", 1000).send(b"x")
        assert wire.rest() == b""


def test_a_large_form_leaves_memory_flat(launch, kind):
    server = launch(kind, ROUTEX_MAX_BODY_MB="256")
    with server.wire() as wire:
        begin_form(wire, "/drain", 200 * MIB).send(b"x" * MIB)
        before_kib = server.memory_kib()
        for _ in range(199):
            wire.send(b"x" * MIB)
        assert wire.response().json == {"length": 200 * MIB}
        assert server.memory_kib() - before_kib < 8 * 1024


def test_a_client_waits_for_an_application_that_does_not_take_its_form(launch, kind, tmp_path):
    notes = tmp_path / "notes"
    notes.touch()
    server = launch(kind, ROUTEX_MAX_BODY_MB="256", TEST_NOTES=str(notes))
    with server.wire() as wire:
        begin_form(wire, "/deaf", 200 * MIB)
        server.await_stat("deaf", 1)
        before_kib = server.memory_kib()
        wire.sock.setblocking(False)
        sent = 0
        while select.select([], [wire.sock], [], 0.5)[1]:  # no room for half a second: it is held back
            sent += wire.sock.send(b"x" * min(MIB, 200 * MIB - sent))
        assert sent < 64 * MIB
        assert server.memory_kib() - before_kib < 8 * 1024
        notes.unlink()
        wire.sock.settimeout(10)
        while sent < 200 * MIB:
            sent += wire.sock.send(b"x" * min(MIB, 200 * MIB - sent))
        assert wire.response().json == {"length": 200 * MIB}
