"""A scripted upstream on loopback: a real HTTP server that answers as a test says and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from channels_app.engine.provider import Headers, Timeouts, UpstreamRequest

LOOPBACK = ("127.0.0.0/8", "::1/128")

Answer = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as the upstream sees it. Numbers count from 1 over the upstream's life."""

    number: int
    connection: int
    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n") -> None:
        await self.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    async def start_chunks(self) -> None:
        await self.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def gone(self) -> None:
        """Return once the client has closed its side."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close without a farewell: with a linger time of zero the client gets RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class Upstream:
    """A real HTTP server that answers as the test says and keeps what it was sent."""

    answer: Answer
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    errors: list[BaseException] = field(default_factory=list)
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str = "/v1/x", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                exchange = Exchange(len(self.exchanges) + 1, connection, head, body, reader, writer)
                self.exchanges.append(exchange)
                await self.answer(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up
        except asyncio.CancelledError:
            pass  # the test is over; asyncio would report a cancelled handler as an error
        except AssertionError as error:
            self.errors.append(error)
        finally:
            writer.close()

    async def stop(self) -> None:
        """End every open exchange."""
        for task in self.handlers:
            task.cancel()
        await asyncio.gather(*self.handlers, return_exceptions=True)


Serve = Callable[..., Awaitable[Upstream]]


def request_to(
    url: str,
    *,
    headers: Headers | None = None,
    body: bytes = b"{}",
    method: str = "POST",
    networks: tuple[str, ...] = LOOPBACK,
    **limits: float,
) -> UpstreamRequest:
    """Return a request that may reach loopback; `limits` are fields of Timeouts."""
    return UpstreamRequest("openai-chat", "m", False, method, url, headers or [], body, Timeouts(**limits), networks)


async def ok(exchange: Exchange) -> None:
    """Answer anything with a short whole body."""
    await exchange.answer(b"ok")
