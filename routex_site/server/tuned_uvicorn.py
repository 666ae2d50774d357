"""uvicorn as Routex starts it: uvloop and httptools, with the bounds that uvicorn leaves open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from routex_site.server.body_limit import limit_body
from routex_site.server.deadlines import Deadlines
from routex_site.server.lifespan import Lifespan, cancel, on_stop_signal, settle_memory
from routex_site.server.listen import start_listening
from routex_site.server.options import (
    BACKLOG,
    HEAD_BYTES,
    WEBSOCKET_BYTES,
    Application,
    ServerOptions,
    is_shadow,
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP connection with limits on the size of a head and on the time it may take to arrive.

    httptools has neither: a client could open connections and send a header's worth each minute, or one that never
    ends.
    """

    waits: Deadlines[BoundedProtocol]
    _is_in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.waits.start(self, self.loop.time())

    def data_received(self, data: bytes) -> None:
        """Parse, then see that the rest of an unfinished head stays small and comes in time."""
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            if not self._head_bytes and self.cycle is not None:
                self.waits.start(self, self.loop.time())
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Refuse a head that came in one piece and is too large; else start the application."""
        self._is_in_head = False
        self.waits.stop(self)
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            raise ValueError("The request's head is too large.")  # httptools makes it a 400
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop names with an underscore, which Django cannot tell from a dash (CVE-2015-0219); Daphne does."""
        if b"_" not in name or not is_shadow(name, self.url):
            super().on_header(name, value)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self.waits.stop(self)
        super().connection_lost(exc)


class BoundedServer(uvicorn.Server):
    """uvicorn's server, stopped by the same signals as the tuned Daphne and ending with code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop`: uvicorn raises them again at its end, and dies before the shut-down code."""
        yield

    def stop(self) -> None:
        """Let running requests finish; called again, do not wait for them."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Close, ten times a second, those that took too long with their head."""
        for connection in BoundedProtocol.waits.take_overdue(asyncio.get_running_loop().time()):
            connection.transport.close()
        return await super().on_tick(counter)


def _config(application: Application, options: ServerOptions) -> uvicorn.Config:
    settings: dict[str, Any] = {
        "http": BoundedProtocol,
        "lifespan": "off",  # ours, the same under both servers
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # believed only behind a proxy that is known, which is the application's to judge
        "backlog": BACKLOG,
        "timeout_keep_alive": options.idle_wait_s,
        "timeout_graceful_shutdown": options.stop_wait_s,
        "ws_max_size": WEBSOCKET_BYTES,
        "ws_per_message_deflate": False,  # 300 KiB a connection; Daphne does not offer it either
    }
    return uvicorn.Config(limit_body(application, options.max_body_bytes), **settings)


async def _serve(application: Application, sock: socket.socket, options: ServerOptions) -> None:
    BoundedProtocol.waits = Deadlines(options.head_wait_s)
    async with Lifespan(application):
        server = BoundedServer(_config(application, options))
        on_stop_signal(server.stop)
        start_listening(sock)
        settle_memory()
        await server.serve(sockets=[sock])
        await cancel(server.server_state.tasks)


def run(application: Application, sock: socket.socket, options: ServerOptions) -> None:
    """Serve the application on the socket until the process is told to stop.

    Raises:
        CannotStart: The application failed to start, or the socket cannot listen.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(application, sock, options))
