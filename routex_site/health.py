"""/livez, /readyz, /health: process, snapshot age, database, hand-off; nothing of a tenant."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import psutil

from routex_site import VERSION
from routex_site.wiring import Process

PATHS = frozenset({"/livez", "/readyz", "/health"})


def answer(path: str, process: Process | None) -> tuple[int, bytes]:
    """Return status and JSON body of a health path; `process` is None where no gateway runs."""
    if path == "/livez":
        return 200, b'{"status":"ok"}'
    reasons = not_ready_because(process)
    if path == "/readyz":
        return (503 if reasons else 200), msgspec.json.encode(
            {"status": "not ready" if reasons else "ok", "why": reasons}
        )
    return 200, msgspec.json.encode(_health(process, reasons))


def not_ready_because(process: Process | None) -> list[str]:
    """Return why requests should not come here yet, or any more; empty when they should."""
    if process is None:
        return []
    reasons = []
    if not process.source.is_ready:
        reasons.append("the key directory is not loaded: is PostgreSQL reachable?")
    if process.gateway.is_draining:
        reasons.append("the process is stopping")
    return reasons


def _health(process: Process | None, reasons: list[str]) -> dict[str, Any]:
    """Return the body that dashboards know: status, version, uptime, channels, database, memory."""
    memory = psutil.Process().memory_info()
    health: dict[str, Any] = {
        "status": "ok",
        "version": VERSION,
        "memory": {"rss_bytes": memory.rss},
    }
    if process is None:
        return health
    total, enabled = process.source.channel_counts
    sink = process.sink.state
    is_degraded = bool(reasons) or not process.source.is_connected or sink.dropped or sink.is_spilling
    return health | {
        "status": "degraded" if is_degraded else "ok",
        "uptime_s": round(time.monotonic() - process.began_s, 1),
        "channels": {"total": total, "enabled": enabled},
        "database": {
            "status": "ok" if process.source.is_connected else "away",
            "reconciled_s_ago": round(time.monotonic() - process.source.reconciled_at_s, 1),
        },
        "requests": {"in_flight": process.gateway.in_flight},
        "records": {
            "waiting": sink.depth,
            "written": sink.written,
            "dropped": sink.dropped,
            "rejected": sink.rejected,
            "spill_bytes": sink.spill_bytes,
            "oldest_unwritten_s": round(sink.oldest_unwritten_s, 3),
        },
    }
