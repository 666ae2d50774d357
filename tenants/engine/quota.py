"""Calendar windows of quotas: when the one that holds a moment began and when it ends, in a tenant's time zone."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tenants.engine.limits import QuotaSpec
from tenants.engine.money import usd_text

#: Window → how a sentence names it.
WINDOW_WORDS = {
    "hour": "hourly",
    "day": "daily",
    "week": "weekly",
    "month": "monthly",
    "year": "yearly",
    "ever": "total",
}
_HOUR_S = 3600


class Span(NamedTuple):
    """A window, in seconds since the epoch: from `start_s` up to, but not including, `end_s`; None = it never ends."""

    start_s: int
    end_s: int | None

    def holds(self, moment_s: float) -> bool:
        """Whether a moment lies in it."""
        return self.start_s <= moment_s and (self.end_s is None or moment_s < self.end_s)


def window_at(window: str, zone: str, moment_s: float) -> Span:
    """Return the window that holds a moment.

    Days begin at the first instant of their date, whatever the clocks do then; weeks begin on Monday. Hours are 3,600
    seconds each, so the hour that clocks repeat is two windows. A zone that is not known here is UTC.
    """
    if window == "ever":
        return Span(0, None)
    place = _zone(zone)
    local = dt.datetime.fromtimestamp(moment_s, place)
    if window == "hour":
        # Some zones are half an hour off; the offset at New Year serves all year, so that windows never overlap.
        offset = dt.datetime(local.year, 1, 1, tzinfo=place).utcoffset() or dt.timedelta()
        start_s = int(moment_s - (moment_s + offset.total_seconds()) % _HOUR_S)
        return Span(start_s, start_s + _HOUR_S)
    first, following = _dates(window, local.date())
    return Span(_midnight_s(first, place), _midnight_s(following, place))


def _dates(window: str, day: dt.date) -> tuple[dt.date, dt.date]:
    """Return the first day of the window that holds a day, and the first day after it."""
    if window == "day":
        return day, day + dt.timedelta(days=1)
    if window == "week":
        monday = day - dt.timedelta(days=day.weekday())
        return monday, monday + dt.timedelta(days=7)
    if window == "month":
        first = day.replace(day=1)
        return first, (first + dt.timedelta(days=32)).replace(day=1)
    if window == "year":
        return day.replace(month=1, day=1), dt.date(day.year + 1, 1, 1)
    raise ValueError(f"{window!r} is no window of a quota: {', '.join(WINDOW_WORDS)}.")


def _midnight_s(day: dt.date, place: dt.tzinfo) -> int:
    # Where clocks skip midnight, Python reads it by the offset before, which is the very instant of the change.
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=place).timestamp())


@lru_cache(maxsize=512)
def _zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


def amount_text(kind: str, amount: int) -> str:
    """Return an amount of a quota as people say it: `$50.00`, `5,000 tokens`."""
    if kind != "usd":
        return f"{amount:,} {kind}"
    whole, _, places = usd_text(abs(amount)).partition(".")
    # Whole cents where that is near enough; a small amount keeps two digits that say something.
    if abs(amount) >= 10_000_000:
        places = f"{round(abs(amount) / 10_000_000) % 100:02d}"
        whole = f"{round(abs(amount) / 10_000_000) // 100:,}"
    return f"{'-' * (amount < 0)}${whole}.{places}"


def reset_text(end_s: int | None, zone: str) -> str:
    """Return when a window ends, as the tenant's clock says it: `Dec 1 00:00 UTC`."""
    if end_s is None:
        return "never"
    local = dt.datetime.fromtimestamp(end_s, _zone(zone))
    return f"{local:%b} {local.day} {local:%H:%M %Z}"


@lru_cache(maxsize=4096)
def quota_name(spec: QuotaSpec) -> str:
    """Return a quota as a sentence begins with it: `Monthly budget of $50.00`."""
    noun = "budget" if spec.kind == "usd" else "quota"
    return f"{WINDOW_WORDS[spec.window].capitalize()} {noun} of {amount_text(spec.kind, spec.amount)}"
