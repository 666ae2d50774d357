"""The only file that imports httpx: a pool per network grant, send() → status, headers, byte stream."""

from __future__ import annotations

import asyncio
import io
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from time import monotonic

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from channels_app.engine.connector import Attempt, Connector, KeptConnectionClosed, current_attempt, failure
from channels_app.engine.errors import UpstreamBlocked, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from channels_app.engine.head_limit import HeadLimit
from channels_app.engine.network import Network, parse_networks
from channels_app.engine.provider import Headers, Timeouts, UpstreamRequest, UpstreamResponse

# httpx imports its command line client wherever click and rich are installed, as they are here for our own: 0.2 s and
# 7 MiB that no gateway needs. None in sys.modules makes that import fail, which httpx allows for.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

#: How much of an answer is buffered while its reader is away; at twice this the upstream's socket is no longer read.
READ_BUFFER_BYTES = 16 * 1024
#: The longest line or header accepted from an upstream; some send security policies beyond aiohttp's 8 KiB.
MAX_HEADER_BYTES = 64 * 1024
#: Bodies from this size on are written in pieces, at the pace of the upstream.
LARGE_BODY_BYTES = 512 * 1024
#: Headers that frame the message or name the host; they follow from the URL and the body.
_FRAMING_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """How busy the pools are, for health pages."""

    pools: int
    open_connections: int
    in_flight: int


class HttpUpstreams:
    """Sends requests over HTTP/1.1, each through the pool that belongs to its tenant's network grants.

    Every distinct set of granted networks has a pool of its own, so a connection that was opened under a grant never
    serves a request without it. Redirects are not followed, proxies from the environment are not used, cookies are
    not kept and bodies are not decompressed.

    `own_listeners` are the (host, port) pairs where Routex, PostgreSQL and Valkey listen; no grant opens them.
    `max_connections` holds for each pool; beyond `max_pools` the pools without a request are closed, longest idle
    first. Certificates are checked against the system's trust store unless `tls` says otherwise.
    """

    def __init__(
        self,
        *,
        own_listeners: Iterable[tuple[str, int]] = (),
        max_connections: int = 2000,
        max_pools: int = 64,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._own_listeners = tuple(own_listeners)
        self._max_connections = max_connections
        self._max_pools = max_pools
        self._tls = tls
        self._resolver = resolver
        self._pools: dict[frozenset[Network], PooledTransport] = {}
        self._is_closed = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Return the answer once its head is here; raise UpstreamError when none comes.

        Cancelling the task, here or while it waits for a chunk, drops the connection at once. So whoever wants to do
        something else while waiting for a chunk waits for a task of it (`asyncio.wait`) and does not cancel.
        """
        message = httpx.Request(
            request.method,
            _parse_url(request.url),
            headers=_encode(request.headers),
            stream=httpx.ByteStream(request.body),
            extensions={"timeouts": request.timeouts, "source": request.source},
        )
        try:
            granted = parse_networks(request.private_networks)
        except ValueError as error:
            raise UpstreamBlocked(
                "A private network granted to this tenant is not an address range such as 10.0.0.0/8."
            ) from error
        pool = self._pools.get(granted) or await self._open_pool(granted)
        answer = await pool.handle_async_request(message)
        body = answer.stream
        assert isinstance(body, _Body)
        return UpstreamResponse(answer.status_code, answer.headers.raw, body, body.aclose, body.connect_ms)

    def stats(self) -> UpstreamStats:
        """Return how many pools, open connections and unfinished requests there are."""
        pools = self._pools.values()
        return UpstreamStats(
            pools=len(pools),
            open_connections=sum(pool.open_connections for pool in pools),
            in_flight=sum(pool.in_flight for pool in pools),
        )

    async def aclose(self) -> None:
        """Close every connection, whatever is in flight."""
        self._is_closed = True
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()

    async def _open_pool(self, granted: frozenset[Network]) -> PooledTransport:
        while len(self._pools) >= self._max_pools:
            # The pool without a grant is every tenant's and stays.
            idle = [key for key, pool in self._pools.items() if key and not pool.in_flight]
            if not idle:
                break
            await self._pools.pop(min(idle, key=lambda key: self._pools[key].idle_since)).aclose()
        if self._is_closed:
            raise UpstreamRefused("Routex is stopping and sends no more requests.")
        # Nothing awaits from here until the pool counts the request, so that no one closes it as idle in between.
        if granted not in self._pools:
            connector = Connector(
                granted,
                limit=self._max_connections,
                own_listeners=self._own_listeners,
                resolver=self._resolver,
                tls=self._tls,
            )
            self._pools[granted] = PooledTransport(connector)
        return self._pools[granted]


class PooledTransport(httpx.AsyncBaseTransport):
    """An httpx transport over one aiohttp pool (docs/adr/0005-http-client.md).

    It reads its limits from the request extension `timeouts` and a body that is not in memory from `source`, and
    raises UpstreamError where httpx has errors of its own, so that nobody translates twice.
    """

    def __init__(self, connector: Connector) -> None:
        self.in_flight = 0
        self.idle_since = monotonic()
        self._connector = connector
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "content-type", "user-agent"),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer once its head is here; its stream must be closed."""
        timeouts: Timeouts = request.extensions["timeouts"]
        started_at = asyncio.get_running_loop().time()
        self.in_flight += 1
        try:
            attempt, answer = await self._send(request, timeouts, started_at)
        except BaseException:
            self._leave()
            raise
        body = _Body(answer, attempt, timeouts, started_at, self._leave)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=body, request=request)

    @property
    def open_connections(self) -> int:
        """How many connections are open, in use or kept."""
        return self._connector.open_connections

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _leave(self) -> None:
        self.in_flight -= 1
        self.idle_since = monotonic()

    async def _send(
        self, request: httpx.Request, timeouts: Timeouts, started_at: float
    ) -> tuple[Attempt, aiohttp.ClientResponse]:
        attempt = Attempt()
        try:
            return attempt, await self._try(attempt, request, timeouts, started_at)
        except KeptConnectionClosed:
            # The upstream closed the connection in the moment of its reuse and answered nothing: RFC 9112 §9.3.1.
            attempt = Attempt(needs_new=True)
            return attempt, await self._try(attempt, request, timeouts, started_at)

    async def _try(
        self, attempt: Attempt, request: httpx.Request, timeouts: Timeouts, started_at: float
    ) -> aiohttp.ClientResponse:
        current_attempt.set(attempt)
        stream, source = request.stream, request.extensions["source"]
        assert isinstance(stream, httpx.ByteStream)
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        body = b"".join(stream)
        data: io.BytesIO | bytes | AsyncIterator[bytes] | None
        data = io.BytesIO(body) if len(body) >= LARGE_BODY_BYTES else body or None
        head_s = min(timeouts.first_byte_s, timeouts.total_s)
        limit = HeadLimit(attempt, timeouts, started_at)
        if source is not None:
            headers.append(("content-length", str(source.length)))
            data = limit.follow(source)
        try:
            return await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
                timeout=_connect_timeout(min(timeouts.connect_s, head_s)),
            )
        except BaseException as error:
            attempt.drop()
            if isinstance(error, (aiohttp.ClientError, ValueError)):
                # Not chained: aiohttp's errors carry the URL and the request's headers, which logs must not see.
                raise failure(error, attempt, timeouts) from None
            raise
        finally:
            limit.stop()


class _Body(httpx.AsyncByteStream):
    """The body of one answer as it arrives, under its time limits.

    One timer serves the whole body. It is not moved with each chunk; when it fires early it looks at the present
    deadline and is set again. There is a deadline only while somebody waits for a chunk, so a slow reader never makes
    an upstream look idle.
    """

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        attempt: Attempt,
        timeouts: Timeouts,
        started_at: float,
        on_end: Callable[[], None],
    ) -> None:
        self.connect_ms = attempt.connect_ms
        self._attempt = attempt
        self._answer = answer
        self._content = answer.content
        self._timeouts = timeouts
        self._has_begun = False
        self._on_end = on_end
        self._has_ended = False
        self._failure: UpstreamError | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline = self._fires_at = inf
        self._total_at = started_at + timeouts.total_s
        now = self._loop.time()
        asked_at = now if attempt.is_sending else attempt.sent_at or started_at
        self._first_byte_s = timeouts.first_byte_s - (now - asked_at)
        self._timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] | None = None
        if not self._content.is_eof():  # most whole answers have arrived with their head and need no watching
            self._set_timer(self._total_at)
            self._lost = attempt.lost
            if self._lost is not None:
                self._lost.add_done_callback(self._notice_loss)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            data = self._content.read_nowait()
            if not data and not self._content.at_eof():
                data = await self._wait()
        except BaseException as error:
            self._drop()
            if not isinstance(error, (aiohttp.ClientError, OSError)):
                raise
            self._failure = self._failure or UpstreamBroken("The upstream broke off its answer before the end.")
            raise self._failure from None
        if data:
            self._has_begun = True
            return data
        self._end()
        if self._was_reset():
            self._failure = UpstreamBroken("The upstream reset the connection before the end of its answer.")
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Drop the connection unless both bodies have passed whole; a second call does nothing."""
        if not self._has_ended or self._attempt.is_sending:
            self._failure = UpstreamBroken("The answer was closed before its end was read.")
            self._drop()

    async def _wait(self) -> bytes:
        self._deadline = self._loop.time() + (self._timeouts.idle_s if self._has_begun else self._first_byte_s)
        if self._deadline < self._fires_at:
            self._set_timer(self._deadline)
        try:
            return await self._content.readany()
        finally:
            self._deadline = inf

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when
        self._timer = self._loop.call_at(when, self._check_limits)

    def _check_limits(self) -> None:
        if self._content.is_eof():
            return  # it has arrived in time, whenever it will be read
        now = self._loop.time()
        if now >= self._total_at:
            self._failure = UpstreamTimeout("total", self._timeouts.total_s)
        elif now >= self._deadline:
            self._failure = (
                UpstreamTimeout("idle", self._timeouts.idle_s)
                if self._has_begun
                else UpstreamTimeout("first_byte", self._timeouts.first_byte_s)
            )
        else:
            self._set_timer(min(self._deadline, self._total_at))
            return
        self._drop()

    def _notice_loss(self, _: asyncio.Future[None]) -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            # After a malformed chunk aiohttp's C parser closes the connection without waking the reader.
            self._failure = UpstreamBroken("The upstream's answer is not well-formed HTTP.")
            self._drop()

    def _was_reset(self) -> bool:
        """Whether the connection was reset where only its closing could say that the body is complete."""
        headers = self._answer.headers
        if "content-length" in headers or "transfer-encoding" in headers:
            return False
        return self._lost is not None and self._lost.done() and self._lost.exception() is not None

    def _drop(self) -> None:
        """Close the connection at once unless it went back to the pool, as it does when the body has arrived."""
        self._end()
        connection = self._answer.connection
        if connection is not None:
            transport = connection.transport
            self._answer.close()  # also wakes a waiting reader with an error
            if transport is not None:
                transport.abort()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            if self._timer is not None:
                self._timer.cancel()
            if self._lost is not None:
                self._lost.remove_done_callback(self._notice_loss)
            self._on_end()


@lru_cache(maxsize=64)
def _connect_timeout(connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s)


@lru_cache(maxsize=1024)
def _parse_url(text: str) -> httpx.URL:
    """Return a URL that may be sent to; raise UpstreamBlocked for any other."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise UpstreamBlocked("The channel's base URL is not a valid URL.") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise UpstreamBlocked("The channel's base URL must begin with http:// or https:// and a host.")
    if url.userinfo:
        raise UpstreamBlocked("The channel's base URL holds a user name or password; use the channel's credential.")
    return url


def _encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    try:
        encoded = [(name.encode(), value.encode()) for name, value in headers if name.lower() not in _FRAMING_HEADERS]
    except UnicodeEncodeError:
        raise UpstreamBlocked("A header of the request holds a character that cannot be sent.") from None
    if not any(name.lower() == b"accept-encoding" for name, _ in encoded):
        encoded.append((b"accept-encoding", b"identity"))  # bodies are passed on as they come
    return encoded
