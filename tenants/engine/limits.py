"""LimitSpec and QuotaSpec: how fast and how much, as the data plane knows them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

#: What is counted for whom. `model` and `tag` hold a glob or `name=value` in `scope_id`; the tenant's is empty.
LimitScope = Literal["tenant", "key", "channel", "model"]
QuotaScope = Literal["tenant", "key", "channel", "tag"]


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How fast: `limit` requests or tokens in `window_s` seconds, or requests at once (`concurrency`)."""

    id: str
    scope: LimitScope = "tenant"
    scope_id: str = ""
    kind: Literal["requests", "tokens", "concurrency"] = "requests"
    algorithm: str = "sliding_window"
    limit: int
    window_s: int = 60
    #: Options of the algorithm's own, such as `burst`; checked when they were stored.
    options: dict[str, Any] = {}


class QuotaSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much in a calendar window of the tenant's time zone: nano-USD, tokens or requests."""

    id: str
    scope: QuotaScope = "tenant"
    scope_id: str = ""
    kind: Literal["usd", "tokens", "requests"] = "usd"
    amount: int
    window: Literal["hour", "day", "week", "month", "year", "ever"] = "month"
