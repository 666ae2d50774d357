"""Requests that the gateway's own limits and quotas refuse, in every dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from channels_app.engine.rates import read_overrides
from routing.engine.store import StoreAway
from routing.engine.stores.memory import MemoryStore
from tenants.engine.limits import LimitSpec, QuotaSpec
from tests.routing.engine.budgets import PRICES, Spending
from tests.routing.engine.cast import channel
from tests.routing.engine.dialects import Dialect
from tests.routing.engine.harness import Answer, Step

USD = 1_000_000_000


class Away(MemoryStore):
    """A shared store that never answers."""

    async def get(self, key: str) -> bytes | None:
        raise StoreAway

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        raise StoreAway


def nothing(harness: Spending) -> None:
    pass


def counted(limit: int = 1, **fields: Any) -> tuple[LimitSpec, ...]:
    return (LimitSpec(id="lim_t", limit=limit, **fields),)


def budget(amount: int = USD, **fields: Any) -> tuple[QuotaSpec, ...]:
    return (QuotaSpec(id="quo_t", amount=amount, **fields),)


async def ask_often(
    dialect: Dialect,
    times: int = 1,
    *,
    limits: tuple[LimitSpec, ...] = (),
    quotas: tuple[QuotaSpec, ...] = (),
    prices: Any = PRICES,
    model: str = "m",
    prepare: Callable[[Spending], None] = nothing,
    is_at_once: bool = False,
    **more: Any,
) -> Answer:
    """Return the last of several answers; all but the last may be under way still when it is given."""
    with TemporaryDirectory() as folder:
        gate = asyncio.Event()
        steps = [dialect.good() for _ in range(times)]
        if is_at_once:
            steps[0] = Step(chunks=[gate, *steps[0].chunks])
        channels = [channel("a", models=["*"], prices=read_overrides(prices))]
        harness = Spending(Path(folder), *steps, channels=channels, quotas=quotas, limits=limits)
        harness.provider.endpoints = dialect.endpoints(is_translated=False)
        harness.gateway.base_url, harness.gateway.max_body_bytes = "https://routex.example", 1_000_000
        prepare(harness)
        earlier = []
        for place in range(times - 1):
            earlier.append(asyncio.ensure_future(harness.ask(dialect.body(), path=dialect.path())))
            while len(harness.provider.sent) <= place:
                await asyncio.sleep(0)
            if not is_at_once:
                assert (await earlier[-1]).status == 200
        answer = await harness.ask(dialect.body(model, **more), path=dialect.path(model))
        gate.set()
        assert all(each.status == 200 for each in await asyncio.gather(*earlier))
        return answer


def all_reserved(harness: Spending) -> None:
    harness.ledger.taken = USD


def ledger_away(harness: Spending) -> None:
    harness.ledger.is_away = True


def store_away(harness: Spending) -> None:
    harness.gateway.store = harness.gateway.limits.store = Away(lambda: harness.now_s, is_shared=True)
