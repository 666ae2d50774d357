"""Which channel and credential a conversation stays on: in memory, seen by other processes, kept over restarts."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from routing.engine.store import Store, StoreAway

logger = logging.getLogger("routex.sessions")

#: Sessions that one process remembers; each takes about 600 bytes.
CAPACITY = 50_000
#: Changes that may wait to be written down; while PostgreSQL is away longer than that, the oldest are forgotten.
MAX_WAITING = 50_000
#: The longest an unknown session may hold its request up.
ASK_LIMIT_S = 0.05
#: No conversation is longer; upstreams can say any number.
MAX_TOKENS = 1_000_000_000
#: A pin that only got younger is written again after this share of its life.
RENEWED_SHARE = 0.02

#: Session and model.
Name = tuple[str, str]


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """Where a session was answered last. An empty channel: it was unpinned."""

    channel_id: str
    credential: str
    #: When it was used last and when it is forgotten, in seconds since the epoch.
    used_s: float
    expires_s: float
    #: Tokens of the conversation's beginning that the provider's cache holds.
    cached_tokens: int = 0


@dataclass(slots=True)
class _Kept:
    pin: Pin
    #: When it was told to others last.
    told_s: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Pin)


class Sessions:
    """One process's sessions of all tenants, each behind its own key.

    A request looks here first. A session that is not known here may have begun in another process: the store is asked
    once. `waiting` holds what is still to be written to PostgreSQL, by whoever does that (`session_table`).
    """

    def __init__(self, store: Store, *, wall: Callable[[], float] | None = None, capacity: int = CAPACITY) -> None:
        self._store = store
        self._wall = wall or store.now_s
        self._capacity = capacity
        self._tenants: dict[str, OrderedDict[Name, _Kept]] = {}
        self._count = 0
        self._telling: set[asyncio.Task[None]] = set()
        self.waiting: dict[tuple[str, Name], Pin] = {}
        #: Tenant → how often its sessions are cleaned up, and when that is due.
        self.cleaning: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return self._count

    async def find(self, tenant_id: str, name: Name) -> Pin | None:
        """Return a session's pin; None for one that is new, unpinned or whose time is over."""
        if name not in self._tenants.get(tenant_id, ()) and (pin := await self._ask(tenant_id, name)) is not None:
            self.learn(tenant_id, name, pin)
        return self.known(tenant_id, name)

    def known(self, tenant_id: str, name: Name) -> Pin | None:
        """Return the same as far as this process knows it."""
        kept = self._kept(tenant_id, name)
        is_alive = kept is not None and kept.pin.channel_id and kept.pin.expires_s > self._wall()
        return kept.pin if kept is not None and is_alive else None

    def newest(self, tenant_id: str, name: Name) -> Pin | None:
        """Return what this process heard last of a session, also that it was unpinned."""
        kept = self._kept(tenant_id, name)
        return None if kept is None else kept.pin

    def pin(self, tenant_id: str, name: Name, channel_id: str, credential: str, ttl_s: float) -> None:
        """Keep a session where it was answered, for that long from now."""
        now_s = self._wall()
        kept = self._kept(tenant_id, name)
        before = kept.pin if kept is not None else None
        is_same = before is not None and (before.channel_id, before.credential) == (channel_id, credential)
        cached = before.cached_tokens if before is not None and is_same else 0
        told_s = kept.told_s if kept is not None and is_same else 0.0
        kept = self._keep(tenant_id, name, Pin(channel_id, credential, now_s, now_s + ttl_s, cached), told_s)
        if now_s - told_s >= RENEWED_SHARE * ttl_s:
            self._tell(tenant_id, name, kept, now_s)

    def unpin(self, tenant_id: str, name: Name) -> None:
        """Let a session go where its next request is answered."""
        now_s = self._wall()
        # Kept as an empty pin for a moment, so that nobody takes an older word for the newest.
        kept = self._keep(tenant_id, name, Pin("", "", now_s, now_s + 60), 0.0)
        self._tell(tenant_id, name, kept, now_s)

    def warmed(self, tenant_id: str, name: Name, cached_tokens: int) -> None:
        """Note how much of the conversation its provider has cached by now."""
        kept = self._kept(tenant_id, name)
        if kept is not None and kept.pin.channel_id:
            kept.pin = msgspec.structs.replace(kept.pin, cached_tokens=min(cached_tokens, MAX_TOKENS))

    def learn(self, tenant_id: str, name: Name, pin: Pin, *, is_final: bool = False) -> None:
        """Take over what another process or an earlier one knew, unless something newer is known here.

        `is_final`: the store must forget what it holds; an operator who unpins reaches the table only.
        """
        kept = self._kept(tenant_id, name)
        if kept is None or kept.pin.used_s < pin.used_s:
            if is_final:
                self._share(tenant_id, name, pin)
            cached = kept.pin.cached_tokens if kept and kept.pin.channel_id == pin.channel_id else pin.cached_tokens
            self._keep(tenant_id, name, msgspec.structs.replace(pin, cached_tokens=cached), pin.used_s)

    def clean(self, tenant_id: str) -> int:
        """Forget a tenant's sessions whose time is over, and return how many there were."""
        now_s = self._wall()
        sessions = self._tenants.get(tenant_id, OrderedDict())
        over = [name for name, kept in sessions.items() if kept.pin.expires_s <= now_s]
        for name in over:
            del sessions[name]
        self._count -= len(over)
        if not sessions:
            self._tenants.pop(tenant_id, None)
            self.cleaning.pop(tenant_id, None)
        return len(over)

    def clean_every(self, tenant_id: str, interval_s: float) -> None:
        """Say how often a tenant's sessions are to be cleaned up."""
        known = self.cleaning.get(tenant_id)
        if known is None or known[0] != interval_s:
            self.cleaning[tenant_id] = (interval_s, self._wall() + interval_s)

    def clean_due(self) -> list[str]:
        """Clean up the tenants whose time it is, and return them."""
        now_s = self._wall()
        due = [tenant_id for tenant_id, (_, at_s) in self.cleaning.items() if at_s <= now_s]
        for tenant_id in due:
            self.cleaning[tenant_id] = (self.cleaning[tenant_id][0], now_s + self.cleaning[tenant_id][0])
            self.clean(tenant_id)
        return due

    async def told(self) -> None:
        """Wait until the store knows everything."""
        while self._telling:
            await asyncio.gather(*self._telling)

    def _kept(self, tenant_id: str, name: Name) -> _Kept | None:
        sessions = self._tenants.get(tenant_id)
        return None if sessions is None else sessions.get(name)

    def _keep(self, tenant_id: str, name: Name, pin: Pin, told_s: float) -> _Kept:
        sessions = self._tenants.setdefault(tenant_id, OrderedDict())
        kept = sessions.get(name)
        if kept is not None:
            kept.pin, kept.told_s = pin, told_s
            sessions.move_to_end(name)
            return kept
        kept = sessions[name] = _Kept(pin, told_s)
        self._count += 1
        if self._count > self._capacity:
            # A tenant that opens many sessions loses its own oldest ones, not those of others.
            crowded = sessions if len(sessions) > 1 else max(self._tenants.values(), key=len)
            crowded.popitem(last=False)
            self._count -= 1
        return kept

    async def _ask(self, tenant_id: str, name: Name) -> Pin | None:
        if not self._store.is_shared:
            return None
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                value = await self._store.get(_key(tenant_id, name))
            return None if value is None else _decoder.decode(value)
        except (StoreAway, TimeoutError, msgspec.MsgspecError):
            return None

    def _tell(self, tenant_id: str, name: Name, kept: _Kept, now_s: float) -> None:
        kept.told_s = now_s
        self.waiting.pop((tenant_id, name), None)
        self.waiting[tenant_id, name] = kept.pin
        if len(self.waiting) > MAX_WAITING:
            del self.waiting[next(iter(self.waiting))]
        self._share(tenant_id, name, kept.pin)

    def _share(self, tenant_id: str, name: Name, pin: Pin) -> None:
        if not self._store.is_shared:
            return
        task = asyncio.create_task(self._put(tenant_id, name, pin))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _put(self, tenant_id: str, name: Name, pin: Pin) -> None:
        key, value, ttl_s = _key(tenant_id, name), _encode(pin), max(1.0, pin.expires_s - self._wall())
        try:
            took, there = await self._store.swap(key, None, value, ttl_s)
            if not took:
                await self._store.swap(key, there, value, ttl_s)
        except StoreAway:
            logger.debug("a session of %s is not shared: the store is away", tenant_id)


def _key(tenant_id: str, name: Name) -> str:
    return f"{tenant_id}:session:{name[1]}:{name[0]}"
