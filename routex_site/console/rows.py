"""How a request reads in the list: words, colours and units. static/js/rows.js writes live rows in the same way."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics.engine.live_feed import LiveRow

#: Outcome → the word people read. The keys are analytics.engine.record.Outcome.
OUTCOMES = {
    "answered": "Answered",
    "failed": "Failed",
    "refused": "Refused",
    "cut": "Cut off",
    "gone": "Client left",
}


def tone_of(outcome: str, status: int) -> str:
    """Return `ok`, `warn`, `bad` or `muted`; each has its own mark and colour."""
    if outcome == "gone":
        return "muted"
    if outcome in {"failed", "cut"} or status >= 500:
        return "bad"
    return "warn" if outcome == "refused" or status >= 400 else "ok"


def duration_text(duration_ms: float | None) -> str:
    """Return a duration with about three digits: `842 ms`, `1.24 s`, `1 m 12 s`."""
    if duration_ms is None:
        return ""
    # Halves go up, as in the browser: Python's round() and formatting would send some of them down.
    if (tenths := math.floor(duration_ms * 10 + 0.5)) < 100:
        return f"{tenths // 10}.{tenths % 10} ms"
    if (whole := math.floor(duration_ms + 0.5)) < 1000:
        return f"{whole} ms"
    if (hundredths := math.floor(duration_ms / 10 + 0.5)) < 6000:
        return f"{hundredths // 100}.{hundredths % 100:02d} s"
    minutes, seconds = divmod(math.floor(duration_ms / 1000 + 0.5), 60)
    return f"{minutes} m {seconds} s"


def count_text(count: int | None) -> str:
    """Return a count with thousands set apart, or nothing when it is unknown."""
    return "" if count is None else f"{count:,}"


def money_text(usd: str | None) -> str:
    """Return an amount to the cent, or with three digits where it is less than a dollar; nothing when unknown."""
    if usd is None:
        return ""
    amount = Decimal(usd)
    if amount >= 1:
        return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    digits = min(max(2 - amount.adjusted(), 2), 9)
    text = f"{amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}".rstrip("0")
    return f"${text.ljust(len('0.00'), '0')}"


def zone_of(name: str) -> dt.tzinfo:
    """Return the tenant's time zone, or UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return dt.UTC


def moment_text(moment: dt.datetime, zone: dt.tzinfo) -> str:
    """Return a time as the list shows it: `Nov 21 08:15:32`."""
    return f"{moment.astimezone(zone):%b %d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of the list, as text."""

    id: str
    started_us: int
    started_iso: str
    started: str
    status: int
    tone: str
    word: str
    error_code: str
    asked: str
    served: str
    is_stream: bool
    channel: str
    tries: str
    key: str
    input: str
    output: str
    cost: str
    cost_usd: str
    first_token: str
    total: str


def row_view(row: LiveRow, zone: dt.tzinfo) -> RowView:
    """Return a row as text."""
    started = dt.datetime.fromtimestamp(row.started_us / 1e6, dt.UTC)
    return RowView(
        id=row.id,
        started_us=row.started_us,
        started_iso=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        started=moment_text(started, zone),
        status=row.status,
        tone=tone_of(row.outcome, row.status),
        word=OUTCOMES.get(row.outcome, row.outcome),
        error_code=row.error_code,
        asked=row.asked_model or row.operation,
        served=row.upstream_model if row.upstream_model != row.asked_model else "",
        is_stream=row.is_stream,
        channel=row.channel_slug,
        tries=f"{row.attempts} tries" if row.attempts > 1 else "",
        key=row.key_slug or row.key_id,
        input=count_text(row.input_tokens),
        output=count_text(row.output_tokens),
        cost=money_text(row.cost_usd),
        cost_usd=row.cost_usd or "",
        first_token=duration_text(row.first_token_ms),
        total=duration_text(row.total_ms),
    )
