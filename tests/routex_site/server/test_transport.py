"""The tuned Daphne's transport on a socket pair, with a reactor that only notes what it is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.protocol import Protocol

from routex_site.server.transport import PromptTransport


class NotingReactor:
    """Watches nothing; knows whether it was asked to wait for room."""

    def __init__(self) -> None:
        self.writers: set[object] = set()

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


@pytest.fixture
def peer() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def received(sock: socket.socket, most: int = 1 << 30) -> bytes:
    data = b""
    try:
        while len(data) < most and (piece := sock.recv(most - len(data))):
            data += piece
    except BlockingIOError:
        pass
    return data


def test_small_write_is_sent_without_the_reactor(peer):
    ours, theirs = peer
    reactor = NotingReactor()
    transport = PromptTransport(ours, Protocol(), ("test", 0), None, 1, reactor)
    transport.write(b"hello")
    assert received(theirs) == b"hello"
    assert not reactor.writers


def test_write_never_overtakes_what_is_buffered(peer):
    ours, theirs = peer
    reactor = NotingReactor()
    transport = PromptTransport(ours, Protocol(), ("test", 0), None, 1, reactor)
    first = b"".join(b"%07d," % number for number in range(1_000_000))
    transport.write(first)
    assert reactor.writers == {transport}
    got = received(theirs, 100_000)  # the kernel has room again
    transport.write(b"last")
    while reactor.writers:
        got += received(theirs)
        transport.doWrite()
    assert got + received(theirs) == first + b"last"
