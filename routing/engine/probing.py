"""One breaker for all processes: what opened in one is open in all, and one request in all of them probes."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

import msgspec

from routing.engine.document import PolicySpec
from routing.engine.snapshot import Channel
from routing.engine.states import ChannelState
from routing.engine.store import Store, StoreAway

logger = logging.getLogger("routex.breaker")

#: How long a process that found another one probing waits before it looks again.
LOOK_AGAIN_S = 1.0
#: A probe without a verdict after its channel's own patience and this is given up: its process died.
GRACE_S = 5.0


class Shared(msgspec.Struct, frozen=True, array_like=True):
    """What lies in the store. Times are the store's."""

    standing: Literal["open", "probed", "closed"]
    until_s: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Shared)


class Probing:
    """Keeps the breakers of all processes together, through a store. While that is away, each is on its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._telling: set[asyncio.Task[None]] = set()

    async def look(
        self, tenant_id: str, channel: Channel, state: ChannelState, policy: PolicySpec, now_s: float
    ) -> None:
        """Take over what another process has found out about the channel."""
        state.is_known = True
        if not self._store.is_shared:
            return
        try:
            shared = _decoded(await self._store.get(_key(tenant_id, channel)))
        except StoreAway:
            return
        wait_s = 0.0 if shared is None or shared.standing == "closed" else shared.until_s - self._store.now_s()
        if wait_s > 0:
            state.breaker.opened_elsewhere(policy, now_s + min(wait_s, policy.breaker_open_s))

    async def take(
        self, tenant_id: str, channel: Channel, state: ChannelState, policy: PolicySpec, now_s: float
    ) -> bool:
        """Return whether a request may try a half-open channel; True goes to one request of all processes."""
        breaker = state.breaker
        breaker.has_trial = True  # before the first wait: this process asks once
        if not self._store.is_shared:
            return True
        try:
            may_try = await self._take(tenant_id, channel, state, policy, now_s)
        except StoreAway:
            return True
        except asyncio.CancelledError:
            breaker.abandoned()
            raise
        if not may_try:
            breaker.has_trial = False
        return may_try

    async def _take(
        self, tenant_id: str, channel: Channel, state: ChannelState, policy: PolicySpec, now_s: float
    ) -> bool:
        key = _key(tenant_id, channel)
        current = await self._store.get(key)
        shared, wall_s = _decoded(current), self._store.now_s()
        if shared is not None and shared.standing == "closed":
            state.breaker.succeeded(policy)
            return True
        if shared is not None and shared.until_s > wall_s:
            wait_s = shared.until_s - wall_s if shared.standing == "open" else LOOK_AGAIN_S
            state.breaker.opened_elsewhere(policy, now_s + min(wait_s, policy.breaker_open_s))
            return False
        lease_s = channel.timeouts.connect_s + channel.timeouts.first_byte_s + GRACE_S
        probed = _encode(Shared("probed", wall_s + lease_s))
        took, _ = await self._store.swap(key, current, probed, _ttl_s(policy, lease_s))
        if not took:
            state.breaker.opened_elsewhere(policy, now_s + LOOK_AGAIN_S)
        return took

    def opened(self, tenant_id: str, channel: Channel, policy: PolicySpec) -> None:
        """Tell the others that the channel is open; they are told beside the request."""
        self._tell(tenant_id, channel, policy, Shared("open", self._store.now_s() + policy.breaker_open_s))

    def closed(self, tenant_id: str, channel: Channel, policy: PolicySpec) -> None:
        """Tell the others that the channel answers again."""
        self._tell(tenant_id, channel, policy, Shared("closed"))

    def given_up(self, tenant_id: str, channel: Channel, policy: PolicySpec) -> None:
        """Give the right to probe back: its request ended without a verdict."""
        self._tell(tenant_id, channel, policy, Shared("open"))

    async def settled(self) -> None:
        """Wait until the others have been told."""
        while self._telling:
            await asyncio.gather(*self._telling)

    def _tell(self, tenant_id: str, channel: Channel, policy: PolicySpec, shared: Shared) -> None:
        if not self._store.is_shared:
            return
        task = asyncio.create_task(self._write(tenant_id, channel, policy, shared))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _write(self, tenant_id: str, channel: Channel, policy: PolicySpec, shared: Shared) -> None:
        key, value = _key(tenant_id, channel), _encode(shared)
        try:
            current = await self._store.get(key)
            if shared.standing == "closed" and current is None:
                return  # nobody was told that it was open
            for _ in range(3):
                took, current = await self._store.swap(key, current, value, _ttl_s(policy, policy.breaker_open_s))
                if took:
                    return
        except StoreAway:
            logger.info("the breaker of %s is not shared: the store is away", channel.spec.slug)


def _key(tenant_id: str, channel: Channel) -> str:
    return f"{tenant_id}:breaker:{channel.spec.id}"


def _ttl_s(policy: PolicySpec, lease_s: float) -> float:
    """Outlive the open time, so that whoever wakes late still finds whose turn it is."""
    return max(2 * policy.breaker_open_s, lease_s) + 60


def _decoded(value: bytes | None) -> Shared | None:
    try:
        return None if value is None else _decoder.decode(value)
    except msgspec.MsgspecError:
        return None  # of another version
