"""A ledger in memory for tests of what is reserved, and a harness whose channel costs something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from analytics.engine.ledger import Drawn, Standing
from channels_app.engine.rates import read_overrides
from routing.engine.accounts import Accounts
from routing.engine.budget import Budget
from tenants.engine.limits import QuotaSpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step

#: A thousand nano-USD a token in, ten thousand a token out.
PRICES = {"*": {"input_usd_per_mtok": "1", "output_usd_per_mtok": "10"}}


class MemoryLedger:
    """Windows without PostgreSQL: `taken` is what other processes drew, `spent` of it what they spent."""

    def __init__(self) -> None:
        self.process, self.lease_s = "prc_test", 60.0
        self.taken = self.spent = 0
        self.drawn_of: Counter[str] = Counter()
        self._quotas: dict[str, str] = {}
        self.is_away = False
        self.asked = 0

    async def draw(
        self, *, quota_id: str, lease_id: str, limit: int, least: int, floor: int, want: int, **which: Any
    ) -> Drawn:
        self._quotas[lease_id] = quota_id
        self.asked += 1
        if self.is_away:
            raise psycopg.OperationalError("away")
        left = limit - self.drawn_of[quota_id] - self.taken
        amount = 0 if left < least or left <= 0 else min(left, max(least, floor, min(want, left // 4)))
        self.drawn_of[quota_id] += amount
        return Drawn(amount, left - amount)

    async def drawn(self, quota_id: str, start_s: int) -> int:
        if self.is_away:
            raise psycopg.OperationalError("away")
        return self.drawn_of[quota_id] + self.taken

    async def standing(self, *which: Any) -> Standing:
        return Standing(self.spent, self.taken - self.spent)

    async def give_back(self, lease_id: str, amount: int, used: int) -> None:
        self.drawn_of[self._quotas[lease_id]] -= amount

    async def renew(self, leases: Any) -> set[str]:
        return set(leases)

    async def short(self, windows: Any) -> set[str]:
        return set()

    async def close(self) -> None:
        pass


class Spending(Harness):
    """A gateway whose tenant has quotas."""

    def __init__(
        self, folder: Path, *steps: Step, quotas: tuple[QuotaSpec, ...], prices: Any = PRICES, wait_s: float = 0.0,
        channels: Any = None, default_output_tokens: int | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        self.ledger = MemoryLedger()
        channels = channels or [channel("a", prices=read_overrides(prices))]
        super().__init__(*steps, channels=channels, quotas=quotas, **fields)
        self.accounts = Accounts(self.ledger, folder, now_s=lambda: 1_795_000_000.0)  # type: ignore[arg-type]
        self.gateway.budget = Budget(
            self.accounts, base_url="http://routex", wait_s=wait_s, default_output_tokens=default_output_tokens
        )

    @property
    def lease(self) -> Any:
        (account,) = self.accounts._accounts.values()
        return account.lease


def usd(amount: int, **fields: Any) -> QuotaSpec:
    return QuotaSpec(id="quo_usd", kind="usd", amount=amount, **fields)
