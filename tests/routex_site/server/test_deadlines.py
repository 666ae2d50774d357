"""Waiting has limits: in the table by a clock that is passed in, in the servers by connections that keep still."""

from __future__ import annotations

import time

from routex_site.server.deadlines import Deadlines


def test_only_those_are_overdue_whose_time_is_over():
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.start("early", 0)
    deadlines.start("late", 5)
    assert deadlines.take_overdue(10) == ["early"]
    assert deadlines.take_overdue(10) == []
    assert deadlines.take_overdue(15) == ["late"]


def test_a_new_start_gives_the_whole_time_again():
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.start("first", 0)
    deadlines.start("second", 1)
    deadlines.start("first", 2)
    assert deadlines.take_overdue(11) == ["second"]
    assert deadlines.take_overdue(12) == ["first"]


def test_who_stopped_waiting_is_never_overdue():
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.start("one", 0)
    deadlines.stop("one")
    deadlines.stop("never there")
    assert deadlines.take_overdue(100) == []


def is_cut(wire) -> bool:
    """Send one more byte of a header; return whether the server has enough."""
    wire.sock.settimeout(0.05)
    try:
        return wire.send(b"y").sock.recv(100) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_head_that_trickles_in_is_cut(hasty):
    with hasty.wire() as first, hasty.wire() as second:
        second.get("/hello").response()
        trickling = [wire.send(b"GET /hello HTTP/1.1\r\nx-note: ") for wire in (first, second)]
        for _ in range(100):
            trickling = [wire for wire in trickling if not is_cut(wire)]
        assert not trickling


def test_connection_that_sends_nothing_is_closed(hasty):
    with hasty.wire() as wire:
        assert wire.rest() == b""


def test_connection_without_another_request_is_closed(kind, launch):
    server = launch(kind, {"idle_wait_s": 0.3})
    with server.wire() as wire:
        wire.get("/hello").response()
        assert wire.rest() == b""


def test_body_that_is_slow_but_keeps_coming_is_served(hasty_daphne):
    with hasty_daphne.wire() as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 14\r\n\r\n")
        for _ in range(14):
            time.sleep(0.07)
            wire.send(b"x")
        assert wire.response().json["length"] == 14


def test_body_that_stops_is_cut(hasty_daphne):
    with hasty_daphne.wire() as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nhalf")
        assert wire.rest() == b""


def test_stream_outlives_all_limits_on_requests(hasty):
    with hasty.wire() as wire:
        assert wire.get("/stream?n=3&ms=300").response().body.endswith(b"event 2\n")
