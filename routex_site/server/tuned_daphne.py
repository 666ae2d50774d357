"""Daphne as Routex starts it: its server with our start, our end, and no walks over all connections."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from routex_site.server.reactor import loop  # isort: skip  installs the reactor that daphne.server looks for
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory
from twisted.internet import reactor
from twisted.logger import LogEvent, LogLevel, STDLibLogObserver, globalLogBeginner

from routex_site.server.http_channel import Factory
from routex_site.server.lifespan import Lifespan, cancel, on_stop_signal, settle_memory
from routex_site.server.listen import start_listening
from routex_site.server.options import WEBSOCKET_BYTES, Application, Scope, ServerOptions
from routex_site.server.transport import PromptTransport
from routex_site.server.websocket import Inbox, WebSocket

#: A websocket's peer that does not answer a ping within this time is gone.
PING_S = 20


class TunedServer(Server):
    """Daphne's server, told of ends instead of looking for them."""

    def __init__(self, application: Application, options: ServerOptions) -> None:
        # Daphne refuses to be without an endpoint; ours is a socket that is bound already.
        super().__init__(application, endpoints=["adopted"], signal_handlers=False, server_name="")
        self.options = options
        self.tasks: set[asyncio.Task[None]] = set()
        self.websockets: set[WebSocket] = set()
        self._is_stopping = asyncio.Event()
        self._is_hurried = False

    async def serve(self, sock: socket.socket) -> None:
        """Serve until SIGTERM or SIGINT, then let running requests finish.

        Raises:
            CannotStart: The application failed to start, or the socket cannot listen.
        """
        async with Lifespan(self.application):
            self.http_factory = Factory(self, self.options)
            self.ws_factory = self._websocket_factory()
            on_stop_signal(self._stop)
            start_listening(sock)
            port = reactor.adoptStreamPort(sock.fileno(), sock.family, self.http_factory)
            port.transport = PromptTransport
            sock.close()
            settle_memory()
            await self._is_stopping.wait()
            port.stopListening()
            await self._finish_requests()
            self.http_factory.stop()

    def _websocket_factory(self) -> WebSocketFactory:
        factory = WebSocketFactory(self, server="")
        factory.protocol = WebSocket
        factory.setProtocolOptions(
            allowNullOrigin=True,
            openHandshakeTimeout=self.options.head_wait_s,
            autoPingInterval=PING_S,
            autoPingTimeout=PING_S,
            maxMessagePayloadSize=WEBSOCKET_BYTES,
            maxFramePayloadSize=WEBSOCKET_BYTES,
        )
        return factory

    # Its end

    def _stop(self) -> None:
        self._is_hurried = self._is_stopping.is_set()
        self._is_stopping.set()

    def _is_busy(self) -> bool:
        return bool(self.tasks or self.http_factory.channels) and not self._is_hurried

    async def _finish_requests(self) -> None:
        """Close what waits, let what runs finish for a bounded time, then cancel."""
        self.http_factory.close_when_done()
        for websocket in list(self.websockets):
            websocket.close_going_away()
        patience_s = loop.time() + self.options.stop_wait_s
        while self._is_busy() and loop.time() < patience_s:  # noqa: ASYNC110 many ends to wait for, once in a life
            await asyncio.sleep(0.05)
        await cancel(self.tasks)

    # What Daphne's own classes call

    def create_application(self, protocol: WebSocket, scope: Scope) -> Inbox:
        """Start the application of a websocket."""
        return protocol.run(scope)

    def protocol_connected(self, protocol: WebSocket) -> None:
        """Note a websocket for the end of the process."""
        self.websockets.add(protocol)

    def protocol_disconnected(self, protocol: Any) -> None:
        """Forget a websocket; Daphne also reports the request that became one."""
        self.websockets.discard(protocol)


_twisted_log = STDLibLogObserver("routex_site.server.twisted")


def _pass_errors_on(event: LogEvent) -> None:
    """Log Twisted's errors, which Daphne drops; what Twisted says below that is about its own workings."""
    if event["log_level"] >= LogLevel.error:
        _twisted_log(event)


def run(application: Application, sock: socket.socket, options: ServerOptions) -> None:
    """Serve the application on the socket until the process is told to stop.

    Raises:
        CannotStart: See `TunedServer.serve`.
    """
    globalLogBeginner.beginLoggingTo(
        [_pass_errors_on],  # type: ignore[list-item]
        redirectStandardIO=False,
        discardBuffer=True,
    )
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        reactor.startRunning(installSignalHandlers=False)
        runner.run(_serve(application, sock, options))


async def _serve(application: Application, sock: socket.socket, options: ServerOptions) -> None:
    await TunedServer(application, options).serve(sock)
