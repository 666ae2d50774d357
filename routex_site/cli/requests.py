"""`requests ls` and `tail`: through the management API of the running server."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from routex_site.cli.install import call
from routex_site.cli.output import put_json, put_table

COLUMNS = ["at", "status", "asked", "channel", "upstream", "tokens", "usd", "ms", "id"]
#: How often the server is asked for what finished since.
PAUSE_S = 1.0
#: Ids that were shown; far more than finish between two looks.
REMEMBERED = 5000


def listing(*, tenant: str, limit: int, as_json: bool) -> None:
    """List the newest requests, newest first."""
    rows = newest(tenant, limit)
    if as_json:
        put_json(rows)
    else:
        put_table([line_of(row) for row in rows], COLUMNS)


def tail(*, tenant: str, limit: int, as_json: bool) -> None:
    """Show requests as they finish, oldest first."""
    seen: dict[str, None] = {}
    is_first = True
    while True:
        rows = [row for row in reversed(newest(tenant, 200)) if row["id"] not in seen]
        seen |= dict.fromkeys(row["id"] for row in rows)
        for old in list(seen)[:-REMEMBERED]:
            del seen[old]
        for row in rows[len(rows) - limit :] if is_first and limit < len(rows) else rows:
            print(json.dumps(row, ensure_ascii=False) if as_json else tail_line(row))
        sys.stdout.flush()
        is_first = False
        time.sleep(PAUSE_S)


def newest(tenant: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest requests, newest first."""
    rows: list[dict[str, Any]] = call("GET", f"/api/requests?limit={limit}", tenant=tenant)["data"]
    return sorted(rows, key=lambda row: (str(row.get("started_at")), str(row["id"])), reverse=True)


def line_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a person wants to see of a request."""
    total_ms = row.get("total_ms")
    return {
        "at": str(row.get("started_at") or "")[:19].replace("T", " "),
        "status": row.get("error_code") or row.get("status"),
        "asked": row.get("asked_model"),
        "channel": row.get("channel_slug") or row.get("channel"),
        "upstream": row.get("upstream_model"),
        "tokens": f"{_count(row.get('input_tokens'))}→{_count(row.get('output_tokens'))}",
        "usd": row.get("cost_usd"),
        "ms": f"{total_ms:.0f}" if isinstance(total_ms, int | float) else None,
        "id": row["id"],
    }


def tail_line(row: dict[str, Any]) -> str:
    """Return one request as one line of text."""
    line = line_of(row)
    texts = [str(line[name] if line[name] not in {None, ""} else "-") for name in COLUMNS]
    widths = (19, 4, 24, 16, 24, 12, 12, 7, 0)
    padded = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
    return "".join(char if char.isprintable() else "�" for char in "  ".join(padded)).rstrip()


def _count(value: Any) -> str:
    return "?" if value is None else str(value)
