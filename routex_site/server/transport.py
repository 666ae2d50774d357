"""The socket side of a connection under Daphne: sends at once, and lets senders wait while it is full."""

from __future__ import annotations

import asyncio

from twisted.internet import tcp


class PromptTransport(tcp.Server):
    """Twisted's server connection, but a write goes to the kernel at once when nothing waits before it.

    Twisted only buffers in `write`, asks the loop to watch the socket for room, sends on the next turn and stops
    watching: two system calls and a turn of the loop for each answer and each chunk of a stream, for a socket that
    nearly always has room. What the kernel does not take is left to Twisted's buffer, as are all errors, so that a
    lost connection is never reported from inside a write.
    """

    def write(self, data: bytes) -> None:
        """Send now what the kernel takes; buffer the rest."""
        if self.dataBuffer or self._tempDataLen or not self.connected:
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            super().write(data[sent:] if sent else data)


class Outflow:
    """A Twisted producer that lets coroutines wait while the transport's buffer is over its bound.

    The transport calls `pauseProducing` when more than its `bufferSize` (64 KiB) waits to be sent, `resumeProducing`
    when all of it is sent and `stopProducing` when the connection is lost.
    """

    #: Set while senders must wait. An event, not a future: several tasks may wait, and one may be cancelled.
    room: asyncio.Event | None = None

    def pauseProducing(self) -> None:  # noqa: N802 Twisted's name
        """Make senders wait."""
        if self.room is None:
            self.room = asyncio.Event()

    def resumeProducing(self) -> None:  # noqa: N802 Twisted's name
        """Let senders go on."""
        room, self.room = self.room, None
        if room is not None:
            room.set()

    def stopProducing(self) -> None:  # noqa: N802 Twisted's name
        """Let senders find out that their client left."""
        Outflow.resumeProducing(self)

    async def drained(self) -> None:
        """Wait until the buffer has room again, or the connection is lost."""
        while self.room is not None:
            await self.room.wait()
