"""One websocket under Daphne: its protocol, with bounds on what waits in either direction."""

from __future__ import annotations

import asyncio
from typing import Any

from daphne.ws_protocol import WebSocketProtocol

from routex_site.server.options import Message, Scope
from routex_site.server.running import RunsApplication
from routex_site.server.transport import Outflow

#: Messages that may wait for the application before the socket is no longer read.
INBOX_MESSAGES = 16


class Inbox(asyncio.Queue[Message]):
    """What the browser sent and the application has not taken; full, it stops reading the socket.

    Daphne's queue has no bound: a peer that sends faster than the application reads fills the memory.
    """

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self._transport = transport
        self._is_full = False

    def _put(self, item: Message) -> None:
        super()._put(item)
        if not self._is_full and self.qsize() >= INBOX_MESSAGES:
            self._is_full = True
            self._transport.pauseProducing()

    def _get(self) -> Message:
        if self._is_full and self.qsize() <= 1:
            self._is_full = False
            self._transport.resumeProducing()
        return super()._get()


class WebSocket(Outflow, RunsApplication, WebSocketProtocol):
    """Daphne's websocket whose send() waits for a slow reader, and which ends with its application."""

    is_gone = False

    def connectionMade(self) -> None:  # noqa: N802 Twisted's name
        """Hear from the transport, in the HTTP connection's place, when its buffer fills."""
        super().connectionMade()
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def onConnect(self, request: Any) -> Any:  # noqa: N802 autobahn's name
        """Take no root path from the browser: Daphne would believe a header."""
        request.headers.pop("daphne-root-path", None)
        return super().onConnect(request)

    def run(self, scope: Scope) -> Inbox:
        """Start the application; return the queue that Daphne's protocol fills."""
        inbox = Inbox(self.transport)
        scope.update(asgi={"version": "3.0", "spec_version": "2.3"}, scheme="ws", http_version="1.1")
        self.run_application(scope, inbox.get, self.send)
        return inbox

    async def send(self, message: Message) -> None:
        """Pass one message of the application on, once the browser has taken those before."""
        await self.drained()
        if not self.is_gone:
            self.handle_reply(message)

    def handle_reply(self, message: Message) -> None:
        """Do what the message says; Daphne drops messages that are empty."""
        if message["type"] == "websocket.send" and self.state != self.STATE_CONNECTING:
            text = message.get("text")
            self.serverSend(message["bytes"] if text is None else text, binary=text is None)
        else:
            super().handle_reply(message)

    def resumeProducing(self) -> None:  # noqa: N802 Twisted's name
        """Let senders go on; a transport that is to close waits for its producer to say that it has no more."""
        super().resumeProducing()
        if self.transport.disconnecting:
            self.transport.unregisterProducer()

    def close_going_away(self) -> None:
        """Tell the browser to connect again: this process ends."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=1012)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803 autobahn's names
        """Tell the application, and give it a while to end."""
        self.is_gone = True
        super().onClose(wasClean, code, reason)
        self.client_left()

    def application_ended(self, *, is_failed: bool) -> None:
        """Close what the application left open."""
        if self.is_gone:
            return
        if is_failed:
            self.handle_exception(None)
        elif self.state == self.STATE_CONNECTING:
            self.serverReject()
        else:
            self.serverClose()
