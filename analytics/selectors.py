"""Every read of the request log and of usage. Runs inside the tenant's scope: without one, no row is seen."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from django.db.models import Q, Sum

from analytics.models import RequestRecord, UsageQuarter

#: How far back of a page's last message a replay starts: longer than a writer's transaction may take, so that a row
#: whose transaction began before that message and ended after it is found.
REPLAY_OVERLAP_S = 15.0
REPLAY_LIMIT = 500

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SUMS = (
    *("requests", "errors", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "cost_nano_usd", "unpriced", "total_ms", "first_token_ms", "first_tokens"),
)


def moment_us(moment: dt.datetime) -> int:
    """Return a time as microseconds since the epoch."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def moment_of(us: int) -> dt.datetime:
    """Return the time of microseconds since the epoch, the nearest there is."""
    return _EPOCH + dt.timedelta(microseconds=max(0, min(us, 253_402_300_799_999_999)))


def request_cursor(*, record: RequestRecord) -> str:
    """Return the mark after which a listing goes on below this record."""
    return f"{moment_us(record.started_at)}-{record.id}"


def requests_newest(
    *,
    tenant_id: str,
    limit: int = 50,
    before: str = "",
    channel: str = "",
    model: str = "",
    status_class: int | None = None,
    outcome: str = "",
) -> list[RequestRecord]:
    """Return the newest requests, newest first.

    Args:
        tenant_id: whose requests.
        limit: how many at most.
        before: the `request_cursor` of the last record already shown.
        channel: only this channel's, by slug.
        model: only those that asked for this model or were answered by it.
        status_class: 2, 4, 5: only statuses of that hundred.
        outcome: only this outcome.

    Raises:
        ValueError: `before` is no cursor.
    """
    rows = RequestRecord.objects.filter(tenant_id=tenant_id)
    if before:
        started, _, record_id = before.partition("-")
        moment = moment_of(int(started))
        rows = rows.filter(Q(started_at__lt=moment) | Q(id__lt=record_id), started_at__lte=moment)
    if channel:
        rows = rows.filter(channel_slug=channel)
    if model:
        rows = rows.filter(Q(asked_model=model) | Q(upstream_model=model))
    if status_class is not None:
        rows = rows.filter(status__gte=status_class * 100, status__lt=(status_class + 1) * 100)
    if outcome:
        rows = rows.filter(outcome=outcome)
    return list(rows.order_by("-started_at", "-id")[:limit])


def requests_recorded_since(
    *, tenant_id: str, recorded_us: int, overlap_s: float = REPLAY_OVERLAP_S, limit: int = REPLAY_LIMIT
) -> list[RequestRecord]:
    """Return what was recorded since then, oldest first, or the newest `limit` of it.

    Rows from up to `overlap_s` before are among them: whoever has them already drops them by id.
    """
    since = moment_of(recorded_us - int(overlap_s * 1e6))
    rows = RequestRecord.objects.filter(tenant_id=tenant_id, recorded_at__gte=since)
    return list(rows.order_by("-recorded_at", "-id")[:limit])[::-1]


def request_get(*, tenant_id: str, request_id: str) -> RequestRecord | None:
    """Return one request, or None."""
    # The id alone leads to the row; with the tenant beside it PostgreSQL may choose to look through all of a tenant's.
    row = RequestRecord.objects.filter(id=request_id).first()
    return row if row and row.tenant_id == tenant_id else None


def usage_by(
    *, tenant_id: str, dimension: Literal["channel_id", "model", "key_id", "bucket_at"], since: dt.datetime,
    until: dt.datetime,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the sums of a time span for each channel, model, key or quarter of an hour, most requests first."""
    rows = UsageQuarter.objects.filter(tenant_id=tenant_id, bucket_at__gte=since, bucket_at__lt=until)
    sums = rows.order_by().values(dimension).annotate(**{f"sum_{name}": Sum(name) for name in _SUMS})
    return list(sums.order_by("bucket_at" if dimension == "bucket_at" else "-sum_requests"))
