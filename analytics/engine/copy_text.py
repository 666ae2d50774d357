"""RequestRecord → one line of PostgreSQL's COPY text format, whatever a client or an upstream put into it."""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from analytics.engine.record import AttemptRecord, RequestRecord, Usage

TEXT_COLUMNS: Final = (
    *("id", "tenant_id", "key_id", "key_slug", "session_id", "client_request_id", "operation"),
    *("client_format", "upstream_format", "asked_model", "public_model", "upstream_model", "reported_model"),
    *("channel_id", "channel_slug", "provider", "outcome", "error_code", "error_message"),
    *("client_address", "user_agent", "warnings", "price_version"),
)
TOKEN_COLUMNS: Final = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
)
#: The columns of a line, in its order; `recorded_at` is left to the database.
COLUMNS: Final = (
    *("started_at", "finished_at", "request_bytes", "response_bytes"),
    *TOKEN_COLUMNS,
    "cost_nano_usd",
    *("queue_ms", "connect_ms", "total_ms", "first_token_ms", "status", "is_stream"),
    *TEXT_COLUMNS,
    *("attempts", "decision", "usage_details"),
)
#: What of a usage has no column of its own: it lies in `usage_details` where it is not nothing.
DETAILS: Final = tuple(name for name in Usage.__struct_fields__ if name not in TOKEN_COLUMNS)

#: Characters that are kept of one text; the longer kinds are the ones people read as sentences.
TEXT_LIMIT: Final = 200
LONG_TEXT_LIMITS: Final = {"error_message": 2000, "user_agent": 400, "warnings": 1000}
DETAIL_LIMIT: Final = 500
ATTEMPTS_LIMIT: Final = 20
#: Characters of a decision's JSON; one that is longer is left out and said to be.
DECISION_LIMIT: Final = 200_000

#: Texts and attempts that together stay below this have no single text worth cutting.
_USUAL_CHARS: Final = 2000
_UNKNOWN: Final = "\\N"
_NO_TOKENS: Final = "\t".join([_UNKNOWN] * 5)
_FIVE_INTEGERS: Final = "\t".join(["%d"] * 5)
#: What COPY gives a meaning of its own, and NUL, which PostgreSQL cannot store.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})
#: NUL as JSON writes it, and the escaped backslashes that only look like its beginning.
_NUL: Final = re.compile(r"\\(?:(\\)|u0000)")
_INT2_MAX: Final = 2**15 - 1
_INT4_MAX: Final = 2**31 - 1
_INT8_MAX: Final = 2**63 - 1
#: The last microsecond of the year 9999, which both Python and PostgreSQL can write.
_TIME_MAX_US: Final = 253_402_300_799_999_999

#: What a value of the wrong kind raises on its way into a line (OSError: a time beyond the C library's calendar).
UNWRITABLE: Final = (ValueError, TypeError, ArithmeticError, AttributeError, OSError)

_texts: Callable[[RequestRecord], tuple[str, ...]] = operator.attrgetter(*TEXT_COLUMNS)
_tokens: Callable[[Usage], tuple[int, ...]] = operator.attrgetter(*TOKEN_COLUMNS)
_rare: Callable[[Usage], tuple[int, ...]] = operator.attrgetter(*DETAILS)
#: The counts of a usage: all of it but a flag.
COUNTS: Final = tuple(name for name in Usage.__struct_fields__ if name != "is_estimated")
_encode_json = msgspec.json.Encoder().encode


class _Second:
    """The last whole second that was written out: records come in bursts that share it."""

    number = -1
    text = ""


def timestamp(moment_us: int) -> str:
    """Return microseconds since the epoch as PostgreSQL reads them."""
    second, rest_us = divmod(moment_us, 1_000_000)
    if second != _Second.number:
        _Second.number, _Second.text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
    return f"{_Second.text}.{rest_us:06d}+00"


def copy_line(record: RequestRecord) -> bytes:
    """Return the record as one COPY line, its newline included.

    Raises:
        UNWRITABLE: not even the cleaned record makes a line.
    """
    try:
        return _line(record)
    except UNWRITABLE:
        return _line(cleaned(record))


def _line(record: RequestRecord) -> bytes:
    attempts = _encode_json(record.attempts).decode()
    joined = "\t".join(_texts(record))
    if not _is_usual(joined, attempts):
        record = cleaned(record)
        attempts = _encode_json(record.attempts).decode().translate(_ESCAPES)
        joined = "\t".join([text.translate(_ESCAPES) for text in _texts(record)])
    usage = record.usage
    tokens, details = (_NO_TOKENS, "{}") if usage is None else (_FIVE_INTEGERS % _tokens(usage), _details(usage))
    cost = _UNKNOWN if record.cost_nano_usd is None else f"{record.cost_nano_usd:d}"
    first_token = _UNKNOWN if record.first_token_ms is None else f"{record.first_token_ms:.3f}"
    return (
        f"{timestamp(record.started_us)}\t{timestamp(record.finished_us)}\t"
        f"{record.request_bytes:d}\t{record.response_bytes:d}\t{tokens}\t{cost}\t"
        f"{record.queue_ms:.3f}\t{record.connect_ms:.3f}\t{record.total_ms:.3f}\t{first_token}\t"
        f"{record.status:d}\t{'t' if record.is_stream else 'f'}\t{joined}\t{attempts}\t"
        f"{_decision(record.decision)}\t{details}\n"
    ).encode()


def _details(usage: Usage) -> str:
    """Return the rare parts of a usage as JSON: numbers and true, which need no escapes."""
    told = {name: value for name, value in zip(DETAILS, _rare(usage), strict=True) if value}
    return _encode_json(told).decode() if told else "{}"


def _decision(decision: object) -> str:
    """Return a decision as JSON in a COPY line; JSON has no line ends of its own, and jsonb takes no NUL."""
    if decision is None:
        return "{}"
    text = _encode_json(decision).decode()
    if len(text) > DECISION_LIMIT:
        return '{"too_long":true}'
    return (
        _NUL.sub(lambda found: found[0][:1] + (found[1] or "ufffd"), text).translate(_ESCAPES) if "\\" in text else text
    )


def _is_usual(joined: str, attempts: str) -> bool:
    """Whether the texts can be written as they are: one look at all of them together costs less than one at each."""
    return (
        len(joined) + len(attempts) <= _USUAL_CHARS
        and joined.count("\t") == len(TEXT_COLUMNS) - 1
        and "\\" not in joined
        and "\n" not in joined
        and "\r" not in joined
        and "\0" not in joined
        and "\\" not in attempts
    )


def cleaned(record: RequestRecord) -> RequestRecord:
    """Return the record with every value one that PostgreSQL takes: cut to length, within range, valid text."""
    usage = record.usage
    changes: dict[str, Any] = {
        name: _text(getattr(record, name), LONG_TEXT_LIMITS.get(name, TEXT_LIMIT)) for name in TEXT_COLUMNS
    }
    changes |= {name: _integer(getattr(record, name), _TIME_MAX_US) for name in ("started_us", "finished_us")}
    changes |= {name: _integer(getattr(record, name), _INT8_MAX) for name in ("request_bytes", "response_bytes")}
    changes |= {name: _real(getattr(record, name)) for name in ("queue_ms", "connect_ms", "total_ms")}
    changes["first_token_ms"] = None if record.first_token_ms is None else _real(record.first_token_ms)
    changes["is_stream"] = bool(record.is_stream)
    changes["cost_nano_usd"] = None if record.cost_nano_usd is None else _integer(record.cost_nano_usd, _INT8_MAX)
    changes["status"] = _integer(record.status, _INT2_MAX)
    changes["usage"] = usage and Usage(
        **{name: _integer(getattr(usage, name), _INT4_MAX) for name in COUNTS},
        is_estimated=bool(usage.is_estimated),
    )
    changes["decision"] = _sound(record.decision)
    changes["attempts"] = tuple(_attempt(attempt) for attempt in record.attempts[:ATTEMPTS_LIMIT])
    return msgspec.structs.replace(record, **changes)


def _attempt(attempt: AttemptRecord) -> AttemptRecord:
    texts = {name: _text(getattr(attempt, name), TEXT_LIMIT) for name in ("channel", "credential", "model", "reason")}
    return AttemptRecord(
        **texts,
        detail=_text(attempt.detail, DETAIL_LIMIT),
        status=None if attempt.status is None else _integer(attempt.status, _INT2_MAX),
        duration_ms=_real(attempt.duration_ms),
    )


def _sound(decision: object) -> object:
    """Return a decision that makes JSON, None where it does not (a text with half a character in it)."""
    try:
        _encode_json(decision)
    except UNWRITABLE:
        return None
    return decision


def _text(value: object, limit: int) -> str:
    text = "" if value is None else str(value)[: limit + 1]
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    # A lone surrogate is no character and has no UTF-8; NUL has one, but not in PostgreSQL.
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _integer(value: object, highest: int) -> int:
    try:
        return max(0, min(int(value), highest))  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        return 0


def _real(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(number, 0.0), 1e12) if math.isfinite(number) else 0.0
