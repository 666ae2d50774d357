"""A list of requests as a file: JSON, newline-delimited JSON or CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable, Sequence

import msgspec

from analytics.engine.live_feed import LiveRow

#: A spreadsheet runs a cell that starts with one of these as a formula; names of models come from callers.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_json(rows: Sequence[LiveRow]) -> bytes:
    """Return one JSON list."""
    return msgspec.json.encode(rows)


def as_ndjson(rows: Sequence[LiveRow]) -> bytes:
    """Return one JSON object a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def as_csv(rows: Sequence[LiveRow]) -> bytes:
    """Return CSV (RFC 4180) with a head line; times in ISO 8601, UTC."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(re.sub("_us$", "_at", name) for name in LiveRow.__struct_fields__)
    for row in rows:
        table.writerow(_cell(name, getattr(row, name)) for name in LiveRow.__struct_fields__)
    return text.getvalue().encode()


def _cell(name: str, value: object) -> object:
    if name.endswith("_us") and isinstance(value, int):
        return dt.datetime.fromtimestamp(value / 1e6, dt.UTC).isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


#: Name in `?format=` → content type and writer.
EXPORTS: dict[str, tuple[str, Callable[[Sequence[LiveRow]], bytes]]] = {
    "json": ("application/json", as_json),
    "ndjson": ("application/x-ndjson", as_ndjson),
    "csv": ("text/csv; charset=utf-8", as_csv),
}
