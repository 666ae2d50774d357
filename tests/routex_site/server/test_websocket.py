"""Websockets through both servers."""

from __future__ import annotations

import base64
import struct

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

KERNEL_BYTES = 12 * 1024 * 1024


def dial(server, path: str, **options) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", compression=None, **options)


def shake(wire, path: str) -> None:
    """Open a websocket by hand: a library would read for us."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    wire.get(
        path, "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", f"sec-websocket-key: {key}"
    )
    assert b" 101 " in wire.until(b"\r\n\r\n")


def test_text_and_bytes_are_echoed(server):
    with dial(server, "/ws/echo") as websocket:
        websocket.send("hé")
        assert websocket.recv(5) == "hé"
        websocket.send(b"\x00\x01")
        assert websocket.recv(5) == b"\x00\x01"
        websocket.send("")
        assert websocket.recv(5) == ""


def test_handshake_has_no_server_banner(server):
    with dial(server, "/ws/echo") as websocket:
        assert "server" not in websocket.response.headers


def test_application_learns_that_the_browser_left(server):
    ended = server.stat("ws_ended")
    with dial(server, "/ws/echo") as websocket:
        websocket.send("x")
        websocket.recv(5)
    server.await_stat("ws_ended", ended + 1)


def test_exception_closes_with_1011(daphne):
    with dial(daphne, "/ws/echo") as websocket:
        websocket.send("fail")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(5)
    assert closed.value.rcvd.code == 1011


def test_end_of_the_application_closes(server):
    with dial(server, "/ws/return") as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(5)


def test_rejected_handshake_is_a_403(server):
    with pytest.raises(InvalidStatus) as refused:
        dial(server, "/ws/reject")
    assert refused.value.response.status_code == 403


def test_browser_sets_no_root_path(server):
    with dial(server, "/ws/echo", additional_headers={"Daphne-Root-Path": "/evil"}) as websocket:
        websocket.send("root_path")
        assert websocket.recv(5) == ""


def test_too_large_message_is_refused(server):
    with dial(server, "/ws/echo") as websocket, pytest.raises(ConnectionClosed):
        websocket.send(b"x" * (1024 * 1024 + 1))
        websocket.recv(5)


def test_reader_that_stops_holds_the_application_back(server):
    with server.wire() as wire:
        shake(wire, "/ws/endless")
        wire.until(b"x" * 16384)
    ended = server.await_stat("ws_endless_ended", 1)
    before_kib, before = server.memory_kib(), server.stat("ws_endless_bytes")
    with server.wire(receive_buffer=4096) as wire:
        shake(wire, "/ws/endless")
        assert server.await_standstill("ws_endless_bytes", before) - before < KERNEL_BYTES
        assert server.memory_kib() - before_kib < 2048
    server.await_stat("ws_endless_ended", ended + 1)


def test_sender_is_held_back_by_an_application_that_does_not_read(server):
    frame = b"\x82\xff" + struct.pack(">Q", 65536) + b"\0\0\0\0" + b"x" * 65536
    with server.wire() as wire:
        shake(wire, "/ws/deaf")
        wire.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                wire.send(frame)
        assert server.ask("/process")["pid"] == server.process.pid  # and the others are served


def test_end_of_the_process_tells_the_browser_to_come_again(kind, launch):
    server = launch(kind, {})
    with dial(server, "/ws/echo") as websocket:
        websocket.send("x")
        websocket.recv(5)
        server.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(10)
    assert closed.value.rcvd.code == 1012
    assert server.wait() == 0
