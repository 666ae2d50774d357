"""One HTTP connection under Daphne: Twisted's parser with our limits, and without its work that nobody uses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from daphne.http_protocol import HTTPFactory
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from routex_site.server.deadlines import Deadlines
from routex_site.server.http_request import Request
from routex_site.server.options import DISCARD_BYTES, HEAD_BYTES, ServerOptions
from routex_site.server.transport import Outflow

if TYPE_CHECKING:
    from routex_site.server.tuned_daphne import TunedServer

#: How late a limit may strike; a look costs only those that are overdue.
LOOK_EVERY_S = 0.2


class Channel(Outflow, HTTPChannel):
    """Twisted's HTTP/1.1 connection. Lines, headers, framing and every refusal of a malformed request stay Twisted's.

    At most one request of a connection runs at a time; what a client pipelines waits in a bounded buffer.
    """

    requestFactory = Request  # type: ignore[assignment]  # noqa: N815 Twisted's name
    factory: Factory
    transport: Any
    requests: list[Request]
    #: Twisted's own idle timer is rescheduled with every read and every answer; `Factory.waits` replaces it.
    timeOut = None  # noqa: N815 Twisted's name
    totalHeadersSize = HEAD_BYTES  # noqa: N815 Twisted's name
    MAX_LENGTH = HEAD_BYTES  # one line may be as long as the whole head

    _waits: Deadlines[Channel] | None = None
    _is_body_paused = False

    def connectionMade(self) -> None:  # noqa: N802 Twisted's name
        """Note the addresses once: Twisted asks the kernel and builds two address objects for every request."""
        super().connectionMade()
        self._peer = self.transport.getPeer()
        self._host = self.transport.getHost()
        self.client_addr = (self._peer.host, self._peer.port)
        self.server_addr = (self._host.host, self._host.port)
        self.factory.channels.add(self)
        self._wait_within(self.factory.head_waits)

    def getPeer(self) -> IAddress:  # noqa: N802 Twisted's name
        """Return the client's address."""
        return self._peer

    def getHost(self) -> IAddress:  # noqa: N802 Twisted's name
        """Return our address."""
        return self._host

    # What arrives

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 Twisted's name
        """Parse, then see that what is still missing arrives in time."""
        LineReceiver.dataReceived(self, data)
        if self._handlingRequest:
            return
        if not self.line_mode:
            self._wait_within(None if self._is_body_paused else self.factory.body_waits)
        elif self._waits is self.factory.idle_waits and (self.requests or self._buffer):
            self._wait_within(self.factory.head_waits)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 Twisted's name
        """Answer 400 as for a head that is too long in many lines; Twisted would hang up without a word."""
        self._respondToBadRequestAndDisconnect()

    def allHeadersReceived(self) -> None:  # noqa: N802 Twisted's name
        """Start a request whose body is refused anyway without waiting for the body."""
        request = self.requests[-1]
        limit = self.factory.options.max_body_bytes
        if self.length is not None and self.length > limit:
            asks_first = (request.requestHeaders.getRawHeaders(b"Expect") or [b""])[0].lower() == b"100-continue"
            if asks_first or self.length > limit + DISCARD_BYTES:
                self.length, self._transferDecoder = 0, None
                self.persistent = False
                request.gotLength(0)
                request.is_too_large = True
                return
        super().allHeadersReceived()
        if self.length != 0:
            request.begin_early(self._command, cast(bytes, self._path), self._version)

    def pause_body(self) -> None:
        """Read no more of a body until the application has taken what is here: it is the slow one, not the client."""
        self._is_body_paused = True
        self._wait_within(None)
        self.transport.pauseProducing()

    def resume_body(self) -> None:
        """Read on."""
        self._is_body_paused = False
        if self not in self.factory.channels:
            return
        if not self._handlingRequest:
            self._wait_within(self.factory.body_waits)
        self.transport.resumeProducing()

    def checkPersistence(self, request: Request, version: bytes) -> bool:  # noqa: N802 Twisted's name
        """Return whether the connection goes on after this request: not when the process ends."""
        return not self.factory.is_closing and super().checkPersistence(request, version)

    def allContentReceived(self) -> None:  # noqa: N802 Twisted's name
        """Hand the request over; how long the answer takes is the application's business."""
        self._wait_within(None)
        super().allContentReceived()

    def refuse_endless_body(self, *, is_answered: bool = False) -> None:
        """Hang up on a body without a length that goes on and on."""
        if not self.transport.disconnecting:
            if not is_answered:
                self.transport.write(
                    b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
            self.loseConnection()

    # What is answered

    def requestDone(self, request: Request) -> None:  # noqa: N802 Twisted's name
        """Go on with the next request of this connection, or close it."""
        if self.persistent:
            self._wait_within(self.factory.idle_waits)
        super().requestDone(request)

    def pauseProducing(self) -> None:  # noqa: N802 Twisted's name
        """Make senders wait, and read no further requests from a client that takes no answers."""
        HTTPChannel.pauseProducing(self)
        Outflow.pauseProducing(self)

    def resumeProducing(self) -> None:  # noqa: N802 Twisted's name
        """Undo `pauseProducing`."""
        HTTPChannel.resumeProducing(self)
        Outflow.resumeProducing(self)

    # Its end

    def close_when_done(self) -> None:
        """Close now when no request has begun, else after its answer."""
        if self.requests:
            self.persistent = False
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 Twisted's name
        """Tell the running request, and those that wait to send."""
        self.leave()
        super().connectionLost(reason)
        Outflow.resumeProducing(self)

    def leave(self) -> None:
        """Stop counting as an HTTP connection: it is lost, or a websocket from now on."""
        self._wait_within(None)
        self.factory.channels.discard(self)

    def _wait_within(self, waits: Deadlines[Channel] | None) -> None:
        if self._waits is not None:
            self._waits.stop(self)
        self._waits = waits
        if waits is not None:
            waits.start(self, self.factory.time())


class Factory(HTTPFactory):
    """Makes the connections of one server and watches those that keep it waiting."""

    def __init__(self, server: TunedServer, options: ServerOptions) -> None:
        super().__init__(server)
        self.options = options
        self.channels: set[Channel] = set()
        self.is_closing = False
        self.head_waits: Deadlines[Channel] = Deadlines(options.head_wait_s)
        self.body_waits: Deadlines[Channel] = Deadlines(options.body_wait_s)
        self.idle_waits: Deadlines[Channel] = Deadlines(options.idle_wait_s)
        loop = asyncio.get_running_loop()
        self.time = loop.time
        self._call_later = loop.call_later
        self._close_overdue()

    def buildProtocol(self, addr: IAddress) -> Channel:  # noqa: N802 Twisted's name
        """Return the connection itself: Twisted wraps it in a proxy for the case that TLS negotiates HTTP/2."""
        channel = Channel()
        channel.factory = self
        return channel

    def _close_overdue(self) -> None:
        now_s = self.time()
        for waits in (self.head_waits, self.body_waits, self.idle_waits):
            for channel in waits.take_overdue(now_s):
                channel.timeoutConnection()
        self._timer = self._call_later(LOOK_EVERY_S, self._close_overdue)

    def close_when_done(self) -> None:
        """Close every connection, now or after the answer to the request that has begun."""
        self.is_closing = True
        for channel in list(self.channels):
            channel.close_when_done()

    def stop(self) -> None:
        """Stop looking at the clock."""
        self._timer.cancel()

    # Twisted formats an access-log line for every request, with a clock of its own. The gateway keeps its own records.

    def startFactory(self) -> None:  # noqa: N802 Twisted's name
        """Open no log file."""

    def stopFactory(self) -> None:  # noqa: N802 Twisted's name
        """Close no log file."""

    def log(self, request: Request) -> None:
        """Write no line."""
