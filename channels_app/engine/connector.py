"""Opens and keeps connections to upstreams, checks each address as it is connected to, says why a try failed."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver

from channels_app.engine.errors import UpstreamBlocked, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from channels_app.engine.network import OWN_LISTENER, Address, Network, Refusal, parse_address, refusal
from channels_app.engine.provider import Timeouts

if TYPE_CHECKING:
    import asyncio

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace

#: Seconds that an unused connection is kept: below the 60 s after which common load balancers drop theirs.
KEEPALIVE_S = 45.0
#: Seconds that a DNS answer is kept. The address is checked at each connection whatever its age.
DNS_TTL_S = 30


class Attempt:
    """One try to send one request: what is asked of its connection, and what is learned about it."""

    __slots__ = (
        *("connect_ms", "is_late", "is_new", "is_sending", "lost", "needs_new", "own", "refused", "sent_at"),
        *("transport", "was_tried"),
    )

    def __init__(self, *, needs_new: bool = False) -> None:
        self.needs_new = needs_new
        self.is_new = False
        self.connect_ms = 0.0
        self.transport: asyncio.Transport | None = None
        #: Done when the connection is lost, with an exception when it was not closed in order.
        self.lost: asyncio.Future[None] | None = None
        self.is_late = False
        #: A body that is not in memory is on its way; when the last of it was handed over (the loop's time), else None.
        self.is_sending = False
        self.sent_at: float | None = None
        #: Why an address was refused, and whether any address was permitted and tried.
        self.refused: Refusal | None = None
        self.was_tried = False
        #: Addresses of Routex's own listeners on the port of this request.
        self.own: Collection[Address] = ()

    def give_up(self) -> None:
        """Let the attempt fail now, or as soon as it is connected, since its time is over."""
        self.is_late = True
        self.drop()

    def drop(self) -> None:
        """Close the connection without sending what is still to be sent."""
        if self.transport is not None:
            self.transport.abort()


#: The attempt of the running task. aiohttp gives a connector no other way to know whose connection it opens;
#: its TraceConfig costs an await per event.
current_attempt: ContextVar[Attempt] = ContextVar("current_attempt")


class Connector(aiohttp.TCPConnector):
    """A pool whose connections were all opened under the same grants.

    `own_listeners` are (host, port) pairs that no grant opens: on such a port every address of this machine is
    refused, and the addresses of that host.
    """

    def __init__(
        self,
        granted: Iterable[Network],
        *,
        limit: int,
        own_listeners: Iterable[tuple[str, int]] = (),
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            limit=limit,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_TTL_S,
            resolver=resolver,
            socket_factory=self._open_socket,
            ssl=tls or True,
        )
        self._granted = tuple(granted)
        self._own_hosts: dict[int, set[str]] = {}
        for host, port in own_listeners:
            self._own_hosts.setdefault(port, set()).add(host)
        #: How many connections are open, in use or kept.
        self.open_connections = 0

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        """Return a kept connection or a new one; only a new one when the attempt needs that."""
        attempt = current_attempt.get()
        while True:
            if attempt.is_late:
                raise TimeoutError  # aiohttp sends some requests a second time by itself
            attempt.is_new = False
            connection = await super().connect(req, traces, timeout)
            if not attempt.is_late and (attempt.is_new or not attempt.needs_new):
                attempt.transport = connection.transport
                attempt.lost = connection.protocol.closed if connection.protocol is not None else None
                return connection
            # One kept connection to this host proved dead, so the others of its age are not to be trusted either.
            connection.close()

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> ResponseHandler:
        attempt = current_attempt.get()
        started = perf_counter()
        if req.port in self._own_hosts:
            attempt.own = await self._own_addresses(req.port)
        protocol = await super()._create_connection(req, traces, timeout)
        attempt.connect_ms = (perf_counter() - started) * 1000
        attempt.is_new = True
        if (lost := protocol.closed) is not None:
            self.open_connections += 1
            lost.add_done_callback(self._count_lost)
        return protocol

    def _count_lost(self, lost: asyncio.Future[None]) -> None:
        self.open_connections -= 1
        if not lost.cancelled():
            lost.exception()  # asyncio would log that nobody asked

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        """Return a socket for an address that may be connected to; raise PermissionError for any other.

        aiohttp calls this once per connection attempt with the very address that it connects the socket to, for
        literal addresses and resolved names alike.
        """
        family, kind, protocol, _, endpoint = info
        address, port = parse_address(str(endpoint[0])), int(endpoint[1])
        attempt = current_attempt.get()
        refused = refusal(address, self._granted)
        if refused is None and port in self._own_hosts and (address in attempt.own or is_of_this_machine(address)):
            refused = OWN_LISTENER
        if refused is not None:
            attempt.refused = refused
            raise PermissionError(refused.kind)
        attempt.was_tried = True
        return socket.socket(family, kind, protocol)

    async def _own_addresses(self, port: int) -> set[Address]:
        """Return the present addresses of our listeners on a port; their hosts may be names such as `postgres`."""
        found: set[Address] = set()
        for host in self._own_hosts[port]:
            try:
                infos = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue  # what has no address now cannot be what is connected to
            found.update(parse_address(str(info[4][0])) for info in infos)
        return found


class KeptConnectionClosed(Exception):
    """The upstream closed a kept connection before any byte of an answer: the request may be sent again."""


def failure(error: Exception, attempt: Attempt, timeouts: Timeouts) -> Exception:
    """Return why no answer came, in words that name no address: an UpstreamError or KeptConnectionClosed."""
    if attempt.is_late and (attempt.is_sending or timeouts.total_s < timeouts.first_byte_s):
        return UpstreamTimeout("total", timeouts.total_s)
    if attempt.is_late:
        return UpstreamTimeout("first_byte", timeouts.first_byte_s)
    if isinstance(error, aiohttp.ServerTimeoutError):
        return UpstreamTimeout("connect", timeouts.connect_s)
    if isinstance(error, aiohttp.ClientConnectorError):
        if attempt.refused is not None and not attempt.was_tried:
            return UpstreamBlocked(str(attempt.refused))
        return UpstreamRefused(f"No connection to the upstream: {_problem(error)}.")
    if isinstance(error, ValueError):
        return UpstreamBlocked("The channel's base URL or a header holds something that HTTP does not allow.")
    if not attempt.is_new and _has_no_answer(error):
        return KeptConnectionClosed()
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamBroken("The upstream's answer is not HTTP.")
    return UpstreamBroken("The upstream closed the connection without an answer.")


def _has_no_answer(error: Exception) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # it is the unfinished head when some of it had come
    return isinstance(error, (aiohttp.ClientOSError, aiohttp.ClientConnectionResetError))


def _problem(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name was not found"
    cause = error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its TLS certificate was not accepted ({cause.verify_message.partition(',')[0].lower()})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({(cause.reason or 'handshake').replace('_', ' ').lower()})"
    return os.strerror(cause.errno).lower() if cause.errno else "none of its addresses answered"


def is_of_this_machine(address: Address) -> bool:
    """Return whether packets to an address end at this machine."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))  # only an address of this machine can be bound
        except OSError:
            return False
    return True
