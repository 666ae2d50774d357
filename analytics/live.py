"""LiveHub: the one Valkey subscription of a process, fanned out to the pages that are open here."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from contextlib import aclosing
from typing import Final
from weakref import WeakKeyDictionary

from django.conf import settings

from analytics.engine.live_feed import Heard, LiveRow, Resubscribed, encode_rows, subscribe
from analytics.models import RequestRecord
from analytics.selectors import REPLAY_LIMIT, moment_us, requests_recorded_since

#: Characters that may wait for one page: seconds of the busiest tenant. More means that the page does not keep up.
WAITING_CHARS: Final = 1_000_000
#: Said when a page was away for longer than a replay covers: it loads itself again.
RELOAD: Final = '{"type":"reload"}'

RESTART_S: Final = 1.0

log = logging.getLogger("routex.live")


class TooSlow(Exception):
    """A page took its messages so slowly that they were thrown away; it must connect again and ask what it missed."""


class LiveSocket:
    """What waits for one page. `recorded_us` is up to where the page has been told everything."""

    def __init__(self, tenant_id: str, recorded_us: int) -> None:
        self.tenant_id = tenant_id
        self.recorded_us = recorded_us
        self._waiting: deque[Heard] = deque()
        self._chars = 0
        self._must_replay = False
        self._is_too_slow = False
        self._wake = asyncio.Event()

    def put(self, heard: Heard) -> None:
        """Add a message; past the bound everything is let go and the page is told to come back."""
        self._chars += len(heard.payload)
        if self._chars > WAITING_CHARS:
            self._waiting.clear()
            self._is_too_slow = True
        elif heard.recorded_us is None:
            self._must_replay = True
        else:
            self._waiting.append(heard)
        self._wake.set()

    def ask_replay(self) -> None:
        """Make the page read from the database: something may have gone past it."""
        self._must_replay = True
        self._wake.set()

    async def get(self) -> str | None:
        """Return the next message, waiting for it; None means: read from the database first.

        Raises:
            TooSlow: messages were thrown away.
        """
        while not (self._waiting or self._must_replay or self._is_too_slow):
            self._wake.clear()
            await self._wake.wait()
        if self._is_too_slow:
            raise TooSlow
        if self._must_replay:
            self._must_replay = False
            return None
        heard = self._waiting.popleft()
        self._chars -= len(heard.payload)
        self.recorded_us = max(self.recorded_us, heard.recorded_us or 0)
        return heard.payload


class LiveHub:
    """Hands what is heard on Valkey to the sockets of its tenant. It listens only while there is a socket."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._sockets: defaultdict[str, set[LiveSocket]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @property
    def sockets(self) -> int:
        """How many pages are open here."""
        return sum(len(sockets) for sockets in self._sockets.values())

    def join(self, tenant_id: str, *, recorded_us: int) -> LiveSocket:
        """Return a new page's socket; from now on it gets what is heard."""
        socket = LiveSocket(tenant_id, recorded_us)
        self._sockets[tenant_id].add(socket)
        if self._task is None:
            self._listen()
        return socket

    def leave(self, socket: LiveSocket) -> None:
        """Forget a page; the last one ends the subscription."""
        sockets = self._sockets[socket.tenant_id]
        sockets.discard(socket)
        if not sockets:
            del self._sockets[socket.tenant_id]
        if not self._sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    def _listen(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live hub")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Listen again after an error that nobody foresaw; open pages would otherwise stand still for ever."""
        if task is self._task and not task.cancelled():
            log.error("The live feed ended and begins again.", exc_info=task.exception())
            task.get_loop().call_later(RESTART_S, self._listen_again, task)

    def _listen_again(self, ended: asyncio.Task[None]) -> None:
        if self._task is ended:
            self._listen()

    async def _run(self) -> None:
        async with aclosing(subscribe(self._url)) as messages:
            async for message in messages:
                if isinstance(message, Resubscribed):
                    for sockets in self._sockets.values():
                        for socket in sockets:
                            socket.ask_replay()
                else:
                    for socket in self._sockets.get(message.tenant_id, ()):
                        socket.put(message)


#: One hub for each event loop: a process has one loop, tests have many.
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, LiveHub] = WeakKeyDictionary()


def live_hub() -> LiveHub:
    """Return this process's hub."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = LiveHub(settings.REDIS_URL)
    return _hubs[loop]


def live_row(record: RequestRecord) -> LiveRow:
    """Return what the request list shows of a stored record."""
    return LiveRow(
        id=record.id,
        started_us=moment_us(record.started_at),
        finished_us=moment_us(record.finished_at),
        operation=record.operation,
        is_stream=record.is_stream,
        status=record.status,
        outcome=record.outcome,  # type: ignore[arg-type]  # the column has no closed set of values
        error_code=record.error_code,
        asked_model=record.asked_model,
        upstream_model=record.upstream_model,
        channel_slug=record.channel_slug,
        key_id=record.key_id,
        key_slug=record.key_slug,
        session_id=record.session_id,
        attempts=len(record.attempts),
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cache_read_tokens=record.cache_read_tokens,
        cost_usd=record.cost_usd,
        first_token_ms=record.first_token_ms,
        total_ms=record.total_ms,
    )


def replay(tenant_id: str, recorded_us: int) -> tuple[int, str]:
    """Return what was recorded since then as one message, and up to where it reaches. Runs in the tenant's scope."""
    records = requests_recorded_since(tenant_id=tenant_id, recorded_us=recorded_us, limit=REPLAY_LIMIT + 1)
    if not records:
        return recorded_us, ""
    reached_us = max(recorded_us, moment_us(records[-1].recorded_at))
    if len(records) > REPLAY_LIMIT:
        return reached_us, RELOAD
    return reached_us, encode_rows(reached_us, [live_row(record) for record in records]).decode()
