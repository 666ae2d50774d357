"""Every write of analytics: partitions of the request log, usage rolled up from it, sessions let go."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.utils import OperationalError

from analytics.models import RollUpMark, SessionPin
from analytics.record_table import (
    DEFAULT_PARTITION,
    PARTITIONS,
    TABLE,
    WRITER,
    create_partition,
    drop_partition,
    partition_day,
)
from tenants.context import platform_scope
from tenants.ledger_tables import forget
from tenants.services import SYSTEM, audit_record

log = logging.getLogger("routex.analytics")

DAYS_AHEAD = 7
RETENTION_DAYS = 30
#: How far behind the last mark a roll-up looks again: longer than a writer's transaction may take.
OVERLAP = dt.timedelta(minutes=1)

_UNPIN = """
    UPDATE analytics_sessionpin
    SET channel_id = '', credential = '', used_at = clock_timestamp(),
        expires_at = clock_timestamp() + interval '1 minute', written_by = pg_current_xact_id()::text::bigint
    WHERE id = %(id)s AND tenant_id = %(tenant_id)s
"""
#: The quarters that got rows since then; only those whose rows are all still there.
_TOUCHED = """
    SELECT DISTINCT tenant_id, date_bin('15 minutes', started_at, 'epoch'::timestamptz)
    FROM analytics_requestrecord
    WHERE recorded_at >= %(since)s AND started_at >= %(oldest)s
"""
# The first and last quarter are said apart from the list, so that PostgreSQL opens only the partitions in between.
_RECOMPUTE = """
    INSERT INTO analytics_usagequarter AS old (
        tenant_id, bucket_at, channel_id, model, key_id, requests, errors,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
        cost_nano_usd, unpriced, total_ms, first_token_ms, first_tokens
    )
    SELECT
        record.tenant_id, touched.bucket_at, channel_id, public_model, key_id,
        count(*), count(*) FILTER (WHERE status >= 400 OR outcome IN ('failed', 'refused', 'cut')),
        coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0),
        coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0),
        coalesce(sum(cost_nano_usd), 0),
        count(*) FILTER (WHERE cost_nano_usd IS NULL AND input_tokens IS NOT NULL),
        sum(total_ms::float8), coalesce(sum(first_token_ms::float8), 0), count(first_token_ms)
    FROM unnest(%(tenant_ids)s::text[], %(buckets)s::timestamptz[]) AS touched (tenant_id, bucket_at)
    JOIN analytics_requestrecord AS record
        ON record.tenant_id = touched.tenant_id
        AND record.started_at >= touched.bucket_at
        AND record.started_at < touched.bucket_at + interval '15 minutes'
    WHERE record.started_at >= %(first)s AND record.started_at < %(last)s + interval '15 minutes'
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, bucket_at, channel_id, model, key_id) DO UPDATE SET
        requests = excluded.requests, errors = excluded.errors,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cache_read_tokens = excluded.cache_read_tokens, cache_write_tokens = excluded.cache_write_tokens,
        reasoning_tokens = excluded.reasoning_tokens, cost_nano_usd = excluded.cost_nano_usd,
        unpriced = excluded.unpriced, total_ms = excluded.total_ms,
        first_token_ms = excluded.first_token_ms, first_tokens = excluded.first_tokens
"""


def session_unpin(*, tenant_id: str, session: SessionPin, actor: str = SYSTEM) -> None:
    """Let a conversation go wherever its next request is answered; every gateway knows within about a second.

    The row stays for a while with an empty channel: gateways learn of changes, not of rows that are gone.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNPIN, {"id": session.id, "tenant_id": tenant_id})
    audit_record(tenant_id=tenant_id, actor=actor, action="session.unpinned", target=session)


# Said apart for the same reason; and the tenant again, since the writer is exempt from the row policies.
_REPRICE = f"""
    UPDATE {TABLE} AS record SET cost_nano_usd = given.cost, price_version = given.version
    FROM unnest(%(ids)s::text[], %(starts)s::timestamptz[], %(costs)s::bigint[], %(versions)s::text[])
        AS given (id, started_at, cost, version)
    WHERE record.id = given.id AND record.started_at = given.started_at AND record.tenant_id = %(tenant_id)s
        AND record.started_at >= %(first)s AND record.started_at <= %(last)s
"""  # noqa: S608 a constant


@dataclass(frozen=True, slots=True)
class NewCost:
    """What a stored request costs from now on."""

    id: str
    started_at: dt.datetime
    cost_nano_usd: int
    price_version: str


def usage_roll_up() -> int:
    """Recompute every quarter of an hour that got records since the last time, and return how many.

    Two runs at once wait for each other; a run that dies leaves the mark where it was and is simply repeated.
    """
    with platform_scope(), connection.cursor() as cursor:
        cursor.execute("SELECT now(), %s::timestamptz", [_oldest_kept()])
        now, oldest = cursor.fetchone()
        RollUpMark.objects.get_or_create(name="usage", defaults={"recorded_at": oldest})
        mark = RollUpMark.objects.select_for_update().get(name="usage")
        cursor.execute(_TOUCHED, {"since": mark.recorded_at - OVERLAP, "oldest": oldest})
        touched = cursor.fetchall()
        _recompute(cursor, touched)
        # The start of this transaction: what is committed during it has a later or nearly equal time.
        mark.recorded_at = now
        mark.save()
    return len(touched)


def _recompute(cursor: Any, touched: Sequence[tuple[str, dt.datetime]]) -> None:
    """Roll up these quarters (tenant and beginning) anew."""
    if not touched:
        return
    tenant_ids, buckets = zip(*touched, strict=True)
    cursor.execute(
        _RECOMPUTE,
        {"tenant_ids": list(tenant_ids), "buckets": list(buckets), "first": min(buckets), "last": max(buckets)},
    )


def costs_write(*, tenant_id: str, costs: Sequence[NewCost]) -> None:
    """Give requests of a tenant other costs, and roll their quarters up anew. Runs in the tenant's scope."""
    if not costs:
        return
    with _as_writer() as cursor:
        cursor.execute(
            _REPRICE,
            {
                "tenant_id": tenant_id,
                "ids": [cost.id for cost in costs],
                "starts": [cost.started_at for cost in costs],
                "costs": [cost.cost_nano_usd for cost in costs],
                "versions": [cost.price_version for cost in costs],
                "first": min(cost.started_at for cost in costs),
                "last": max(cost.started_at for cost in costs),
            },
        )
    with connection.cursor() as cursor:
        oldest = _oldest_kept()
        quarters = {_quarter(cost.started_at) for cost in costs if cost.started_at >= oldest}
        _recompute(cursor, [(tenant_id, quarter) for quarter in sorted(quarters)])


def _quarter(moment: dt.datetime) -> dt.datetime:
    """Return the beginning of a moment's quarter of an hour."""
    return moment - dt.timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)


def _oldest_kept() -> dt.datetime:
    """Return the start of the oldest day that has a partition, before which sums can no longer be recomputed."""
    days = partition_days()
    first = min(days) if days else dt.datetime.now(dt.UTC).date()
    return dt.datetime.combine(first, dt.time(), dt.UTC)


def partition_days() -> list[dt.date]:
    """Return the days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        return [day for (name,) in cursor.fetchall() if (day := partition_day(name))]


def partitions_keep(
    *, retention_days: int = RETENTION_DAYS, today: dt.date | None = None
) -> tuple[list[dt.date], list[dt.date]]:
    """Create the partitions from yesterday to a week ahead, drop those past retention; return both lists of days.

    A partition that is busy is left for the next run.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    wanted = {today + dt.timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)}
    oldest = today - dt.timedelta(days=retention_days)
    present = set(partition_days())
    created = [day for day in sorted(wanted - present) if _run_as_writer(create_partition(day))]
    dropped = [day for day in sorted(present) if day < oldest and _run_as_writer(drop_partition(day))]
    _run_as_writer(forget(retention_days))
    _run_as_writer(f"DELETE FROM {DEFAULT_PARTITION} WHERE started_at < '{oldest} 00:00:00+00'")  # noqa: S608 a date
    return created, dropped


def _run_as_writer(statements: str) -> bool:
    try:
        with _as_writer() as cursor:
            cursor.execute(statements)
    except OperationalError as error:
        log.warning("The partitions of %s are busy; the next run tries again: %s", TABLE, error)
        return False
    return True


@contextmanager
def _as_writer() -> Iterator[Any]:
    """Run the block in one transaction as the role that owns the table, waiting little for locks: gateways write."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {WRITER}; SET LOCAL lock_timeout = '2s'")
        yield cursor
        cursor.execute("RESET ROLE")
