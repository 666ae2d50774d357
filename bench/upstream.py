"""A tiny upstream: fixed answers in the format that the path names, as cheap as a Python process can make them.

`python -m bench.upstream PORT` serves one whole answer per POST, or, when path or body asks for a stream, `CHUNKS`
events `GAP_S` apart, each stamped with the monotonic clock so that the load client sees how late it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import cast

import uvloop

from bench.formats import SPOKEN, Spoken, spoken_at

CHUNKS = 50
GAP_S = 0.02

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    """Return the message of a whole answer."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


WHOLE = {name: whole(spoken.whole()) for name, spoken in SPOKEN.items()}


def chunk(body: bytes) -> bytes:
    """Return one piece of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%s\r\n" % (len(body), body)


class Connection(asyncio.Protocol):
    """One keep-alive connection; bodies arrive with a content length."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream nobody reads."""
        if self.stream is not None:
            self.stream.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            target = self.buffer[:end].split(b" ", 2)[1]
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            assert self.transport is not None
            path = target.partition(b"?")[0]
            spoken = spoken_at(path)
            if path.endswith(b":streamGenerateContent") or b'"stream":true' in body.replace(b" ", b""):
                self.stream = asyncio.ensure_future(self._stream(self.transport, spoken))
            else:
                self.transport.write(WHOLE[spoken.name])

    async def _stream(self, transport: asyncio.Transport, spoken: Spoken) -> None:
        transport.write(STREAM_HEAD)
        if beginning := spoken.beginning():
            transport.write(chunk(beginning))
        pieces = []
        for number in range(CHUNKS):
            await asyncio.sleep(GAP_S)
            pieces.append(b"w%02d @%d@ " % (number, time.monotonic_ns()))
            transport.write(chunk(spoken.delta(number, pieces[-1])))
        transport.write(chunk(spoken.ending(pieces)) + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve until the process is told to stop."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(int(sys.argv[1])))
