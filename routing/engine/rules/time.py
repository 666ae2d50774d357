"""The time of day and the day of the week, on the clock of a zone."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from reprlib import repr as shortened
from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, texts, zone_of
from routing.engine.traits import Traits

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d{1,2})(?::(\d\d))?\s*-\s*(\d{1,2})(?::(\d\d))?")
_MINUTES = 24 * 60


class TimeOfDay(Condition):
    """Some hours of some days; hours may go past midnight, and belong to the day on which they began."""

    name = "time"
    summary = (
        "It is one of these hours (22-06, 09:30-17:00) on one of these days (mon-fri), in the zone or the tenant's."
    )
    example = {"hours": "09:00-17:30", "days": "mon-fri", "zone": "Europe/Berlin"}
    is_deep = False

    def test(self, value: Any, setting: Setting) -> Test:
        """Take {hours, days, zone}, each of which may be left out; hours and days may be lists."""
        if not isinstance(value, dict) or not value or not value.keys() <= {"hours", "days", "zone"}:
            raise ValueError("time looks like {hours: 22-06, days: mon-fri, zone: Europe/Berlin}")
        zone = zone_of(value.get("zone") or setting.timezone)
        spans = [_span(each) for each in texts(value["hours"], "time.hours")] if "hours" in value else [(0, _MINUTES)]
        days = _days(texts(value["days"], "time.days")) if "days" in value else frozenset(range(7))

        @lru_cache(maxsize=2)
        def finding(minute: int) -> Finding:
            now = dt.datetime.fromtimestamp(minute * 60, zone)
            clock, day = now.hour * 60 + now.minute, now.weekday()
            holds = any(
                (start <= clock < end and day in days) or (clock + _MINUTES < end and (day - 1) % 7 in days)
                for start, end in spans
            )
            return Finding(holds, f"{DAYS[day]} {clock // 60:02}:{clock % 60:02} {zone.key}")

        # All requests of a minute have the same answer.
        def test(traits: Traits) -> Finding:
            return finding(traits.minute)

        return test


def _span(text: str) -> tuple[int, int]:
    """Return the first minute of a span and the one after its last, beyond a day where it passes midnight."""
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"time: hours look like 22-06 or 09:30-17:00, not {shortened(text)}")
    start, end = int(found[1]) * 60 + int(found[2] or 0), int(found[3]) * 60 + int(found[4] or 0)
    if start >= _MINUTES or end > _MINUTES or int(found[2] or 0) > 59 or int(found[4] or 0) > 59:
        raise ValueError(f"time: a day has hours from 0 to 24, not {shortened(text)}")
    return start, end if end > start else end + _MINUTES


def _days(given: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for each in given:
        first, _, last = each.lower().partition("-")
        if first[:3] not in DAYS or (last or first)[:3] not in DAYS:
            raise ValueError(f"time: days are {', '.join(DAYS)} or spans such as mon-fri, not {shortened(each)}")
        start, end = DAYS.index(first[:3]), DAYS.index((last or first)[:3])
        found |= {day % 7 for day in range(start, (end if end >= start else end + 7) + 1)}
    return frozenset(found)
