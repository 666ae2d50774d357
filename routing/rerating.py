"""Rate stored requests again, by the prices of today."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from analytics.engine.copy_text import DETAILS, TOKEN_COLUMNS
from analytics.engine.price_book import PriceBook, Prices
from analytics.engine.pricing import Price, cost
from analytics.engine.record import Usage
from analytics.models import RequestRecord
from analytics.selectors import request_cursor, requests_rated
from analytics.services import NewCost, costs_write
from channels_app.engine.providers import PROVIDERS
from routing.engine.document import decode_document
from routing.engine.snapshot import Candidate, Channel, Snapshot, build_snapshot
from tenants.models import ConfigState


@dataclass(slots=True)
class Rerated:
    """What one step found. Amounts are nano-USD over the requests that have a price today."""

    looked_at: int = 0
    changed: int = 0
    #: Their channel is gone or has no price for their model: they keep what they cost.
    unpriced: int = 0
    before_nano_usd: int = 0
    after_nano_usd: int = 0
    #: Where the next step begins; empty after the last.
    next: str = ""


def requests_rerate(
    *,
    tenant_id: str,
    since: dt.datetime,
    until: dt.datetime,
    book: PriceBook,
    limit: int,
    after: str = "",
    is_dry_run: bool = False,
) -> Rerated:
    """Rate the next requests of a tenant by its channels' own prices of today and a book; runs in its scope.

    A price with dates counts as it did when the request began.

    Raises:
        ValueError: `after` is not the `next` of an earlier step.
        KeyError: a channel names a provider that is not registered here.
    """
    records = requests_rated(tenant_id=tenant_id, since=since, until=until, after=after, limit=limit)
    found = Rerated(looked_at=len(records))
    if len(records) == limit:
        found.next = request_cursor(record=records[-1])
    if not records:
        return found
    costs = list(_new_costs(records, _snapshot(tenant_id, book), found))
    if not is_dry_run:
        costs_write(tenant_id=tenant_id, costs=costs)
    return found


def _new_costs(records: Iterable[RequestRecord], snapshot: Snapshot, found: Rerated) -> Iterable[NewCost]:
    """Yield what changes, and add it up."""
    channels = {channel.spec.id: channel for channel in snapshot.channels.values()}
    for record in records:
        price = _price(record, channels, snapshot)
        if price is None:
            found.unpriced += 1
            continue
        now = cost(usage_of(record), price)
        found.before_nano_usd += record.cost_nano_usd or 0
        found.after_nano_usd += now
        if (now, price.version) != (record.cost_nano_usd, record.price_version):
            found.changed += now != record.cost_nano_usd
            yield NewCost(record.id, record.started_at, now, price.version)


def _price(record: RequestRecord, channels: dict[str, Channel], snapshot: Snapshot) -> Price | None:
    channel = channels.get(record.channel_id)
    if channel is None:
        return None
    candidate = Candidate(channel, record.public_model, record.upstream_model)
    return snapshot.price(candidate, record.started_at.timestamp())


def usage_of(record: RequestRecord) -> Usage:
    """Return what a stored request used, as the gateway knew it."""
    told: dict[str, Any] = {name: getattr(record, name) or 0 for name in TOKEN_COLUMNS}
    told |= {name: value for name, value in record.usage_details.items() if name in DETAILS}
    return Usage(**told)


def _snapshot(tenant_id: str, book: PriceBook) -> Snapshot:
    """Return the tenant's configuration as it is published, without its credentials."""
    state = ConfigState.objects.get(tenant_id=tenant_id)
    document = decode_document(bytes(state.snapshot))
    return build_snapshot(document, provider=PROVIDERS.__getitem__, unseal=lambda _: "", prices=Prices(book))
