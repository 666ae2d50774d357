"""What a provider's rate-limit headers say of a credential: how much is left, and how long it must rest.

The facts are the providers' own documentation of their headers: OpenAI and those that follow it (`x-ratelimit-*`),
Anthropic (`anthropic-ratelimit-*`, and `-unified-*` with the five hours and seven days of subscriptions).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
_OPENAI = re.compile(r"x-ratelimit-(limit|remaining|reset)(?:-(.+))?")
_ANTHROPIC = re.compile(r"anthropic-ratelimit-(.+)-(limit|remaining|reset|status|utilization)")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
#: Words of `-status` that say no.
_REFUSING = frozenset({"rejected", "rate_limited", "blocked", "queueing_hard", "payment_required"})
#: Money beyond a subscription; its standing says nothing of the subscription's.
_BESIDE = "unified-overage"
#: No reset is believed to be further away than its window is long; a day where the window is not known.
_LONGEST_S = {"unified-5h": 5 * 3600.0, "unified-7d": 7 * 86_400.0, "unified": 7 * 86_400.0}
_DAY_S = 86_400.0
#: A refusal that does not say until when.
_UNSAID_S = 60.0
#: A header longer than this is no number and no date.
_MAX_CHARS = 64

Headers = Iterable[tuple[bytes, bytes]]


class Allowance(msgspec.Struct, frozen=True):
    """`left` is the scarcest kind's share, 0 to 1; `rest_s` is 0 while something of every kind is left."""

    left: float = 1.0
    rest_s: float = 0.0


def allowance(headers: Headers, now_s: float) -> Allowance | None:
    """Return what an answer's headers say at that time (seconds since the epoch); None when they say nothing."""
    kinds: dict[str, dict[str, str]] = {}
    for name, value in headers:
        lower = name.lower()
        if not lower.startswith(_PREFIXES) or len(value) > _MAX_CHARS:
            continue
        text = lower.decode("latin-1")
        if match := _OPENAI.fullmatch(text):
            field, kind = match[1], match[2] or ""
        elif match := _ANTHROPIC.fullmatch(text):
            kind, field = match[1], match[2]
        else:
            continue
        kinds.setdefault(kind, {})[field] = value.decode("latin-1").strip()
    told = [_of_kind(kind, fields, now_s) for kind, fields in kinds.items() if not kind.startswith(_BESIDE)]
    if not told:
        return None
    return Allowance(min(each.left for each in told), max(each.rest_s for each in told))


def _of_kind(kind: str, fields: dict[str, str], now_s: float) -> Allowance:
    limit, remaining, utilization = (_number(fields.get(name, "")) for name in ("limit", "remaining", "utilization"))
    left = 1.0
    if remaining is not None:
        left = remaining / limit if limit else float(remaining > 0)
    elif utilization is not None:
        left = 1.0 - utilization
    left = min(max(left, 0.0), 1.0)
    status = fields.get("status", "").lower()
    # Where a status is given it decides: a window that is used up may still be open to those who pay beyond it.
    is_refused = status in _REFUSING if status else left <= 0.0
    if not is_refused:
        return Allowance(left)
    rest_s = reset_s(fields.get("reset", ""), now_s)
    longest_s = _LONGEST_S.get(kind, _LONGEST_S["unified"] if kind.startswith("unified") else _DAY_S)
    if rest_s is None:
        return Allowance(0.0, _UNSAID_S if status else 0.0)
    return Allowance(0.0, min(rest_s, longest_s))


def reset_s(text: str, now_s: float) -> float | None:
    """Return the seconds until a moment or after a span, however it is written; None for what is neither."""
    number = _number(text)
    if number is not None:
        if number > 1e11:  # milliseconds since the epoch
            return max(0.0, number / 1000 - now_s)
        return max(0.0, number - now_s) if number > 1e8 else number
    match = _DURATION.fullmatch(text)
    if match and text:
        return sum(float(part) * unit_s for part, unit_s in zip(match.groups(), _UNITS_S, strict=True) if part)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, _epoch_s(moment) - now_s)


def retry_after_s(headers: Headers, now_s: float) -> float | None:
    """Return the seconds of `retry-after-ms` or `retry-after` (RFC 9110 §10.2.3); None without a usable one."""
    found = {name.lower(): value for name, value in headers if name.lower() in {b"retry-after", b"retry-after-ms"}}
    ms = _number(found.get(b"retry-after-ms", b"").decode("latin-1"))
    if ms is not None:
        return ms / 1000
    text = found.get(b"retry-after", b"").decode("latin-1").strip()
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, _epoch_s(parsedate_to_datetime(text)) - now_s)
    except (ValueError, OverflowError):
        return None


def _epoch_s(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float | None:
    """Return a number of zero or more, None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
