"""Valkey: the store that many processes share; every call is bounded, and while it is away nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import valkey.asyncio
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError

from routing.engine.store import Store, StoreAway

log = logging.getLogger("routex.store")

KEY_PREFIX: Final = "routex:"
#: Longest that a request waits for an answer.
ANSWER_LIMIT_S: Final = 0.05
#: How long a store that did not answer is not asked again.
AWAY_S: Final = 1.0
#: Enough for as many limits at once; those beyond take turns.
CONNECTIONS: Final = 16
#: A loop that woke so much too late was busy itself; the answer may lie there unread.
LATE_S: Final = 0.01

# An empty text stands for "nothing". Both answers bring the server's clock, which every process goes by.
_SWAP: Final = """
local now = redis.call('TIME')
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[1] then return {0, there, now[1], now[2]} end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return {1, ARGV[2], now[1], now[2]}
"""
_GET: Final = """
local now = redis.call('TIME')
return {1, redis.call('GET', KEYS[1]) or '', now[1], now[2]}
"""


class ValkeyStore(Store):
    """Values in Valkey. `trips` counts how often it was asked."""

    def __init__(self, url: str, *, answer_limit_s: float = ANSWER_LIMIT_S) -> None:
        self._limit_s = answer_limit_s
        # The client's own time limits and retries stay off: the limit is set around the calls.
        pool = valkey.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            retry=Retry(NoBackoff(), 0),
            socket_keepalive=True,
            client_name="routex-store",
        )
        self._client: valkey.asyncio.Valkey = valkey.asyncio.Valkey.from_pool(pool)
        self._swap = self._client.register_script(_SWAP)
        self._get = self._client.register_script(_GET)
        self._offset_s = time.time() - time.monotonic()
        self._away_until_s = 0.0
        self._is_lost = False
        self._has_clock = False
        self.trips = 0

    def now_s(self) -> float:
        """Return the server's clock, as well as it can be known here."""
        return time.monotonic() + self._offset_s

    @property
    def has_clock(self) -> bool:
        """Whether the server has told its time."""
        return self._has_clock

    @property
    def is_away(self) -> bool:
        """Whether it failed to answer within the last second."""
        return self._is_lost and time.monotonic() < self._away_until_s

    async def get(self, key: str) -> bytes | None:
        """Return what is there; raises StoreAway."""
        reply = await self._ask(self._get, key)
        return reply[1] or None

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        """Write if `old` is what is there; raises StoreAway."""
        reply = await self._ask(self._swap, key, old or b"", new or b"", max(1, int(ttl_s * 1000)))
        return bool(reply[0]), reply[1] or None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, script: Callable[..., Awaitable[Any]], key: str, *args: bytes | int) -> Any:
        if self.is_away:
            raise StoreAway("Valkey did not answer a moment ago.")
        self.trips += 1
        sent_s = time.monotonic()
        try:
            reply = await _bounded(script(keys=[KEY_PREFIX + key], args=args), self._limit_s)
        except (ValkeyError, OSError) as error:
            if not self._is_lost:
                log.warning("Valkey is away: %s", str(error) or type(error).__name__)
            self._is_lost, self._away_until_s = True, time.monotonic() + AWAY_S
            raise StoreAway(str(error) or "Valkey did not answer in time.") from error
        if self._is_lost:
            log.warning("Valkey is back")
            self._is_lost = False
        self._learn_clock(int(reply[2]) + int(reply[3]) / 1_000_000, sent_s)
        return reply

    def _learn_clock(self, server_s: float, sent_s: float) -> None:
        """Keep the offset within what this answer allows: the clock was read after the sending and before now."""
        self._offset_s = min(max(self._offset_s, server_s - time.monotonic()), server_s - sent_s)
        self._has_clock = True


async def _bounded(command: Awaitable[Any], limit_s: float) -> Any:
    """Return the answer; raises TimeoutError after the limit, unless it was this process that had no time to read."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        give_up_s = loop.time() + limit_s

        def give_up() -> None:
            was_busy = loop.time() > give_up_s + LATE_S
            if not is_over:
                bound.reschedule(loop.time() + (LATE_S if was_busy else 0.0))

        is_over = False
        timer = loop.call_at(give_up_s, give_up)
        try:
            return await command
        finally:
            is_over = True
            timer.cancel()
