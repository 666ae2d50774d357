"""`status` and `version`: what runs and how it is, from the running server and from what `up` noted."""

from __future__ import annotations

import platform
from typing import Any

from routex_site import VERSION
from routex_site.cli.install import START, call, data_dir, run_note, server_url
from routex_site.cli.output import Failure, put_json, put_table, talk


def run(*, as_json: bool) -> int:
    """Tell what runs; exit 1 unless everything is well."""
    report: dict[str, Any] = {"url": server_url(), "data_dir": str(data_dir()), "processes": processes()}
    try:
        report |= call("GET", "/health", is_public=True)
    except Failure as failure:
        report |= {"status": "away", "why": failure.message}
    is_well = report["status"] == "ok" and all(row["state"] == "running" for row in report["processes"])
    if as_json:
        put_json(report)
        return 0 if is_well else 1
    put_table([{"what": name, "is": value} for name, value in _flat(report)], ["what", "is"])
    if report["processes"]:
        talk("")
        put_table(report["processes"], ["name", "pid", "state", "memory_mb"])
    if report["status"] == "away":
        raise Failure(str(report["why"]), next_command=START)
    return 0 if is_well else 1


def processes() -> list[dict[str, Any]]:
    """Return the processes that `up` started, and whether each is still that process."""
    import psutil

    found = []
    for child in run_note().get("children") or []:
        row: dict[str, Any] = {"name": child.get("name"), "pid": child.get("pid"), "state": "gone", "memory_mb": None}
        try:
            process = psutil.Process(int(child["pid"]))
            # A number alone may belong to another program by now.
            if process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - child["created"]) < 1:
                row |= {"state": "running", "memory_mb": process.memory_info().rss // 2**20}
        except (psutil.Error, KeyError, TypeError, ValueError):
            pass  # it stays "gone": that is the finding
        found.append(row)
    return found


def versions(*, as_json: bool) -> None:
    """Tell the versions."""
    import importlib.metadata

    data = {"routex": VERSION, "python": platform.python_version(), "platform": platform.platform()}
    data |= {name: importlib.metadata.version(name) for name in ("django", "daphne", "celery", "psycopg")}
    if as_json:
        put_json(data)
    else:
        print(f"routex {VERSION}")
        for name, value in list(data.items())[1:]:
            talk(f"{name} {value}")


def _flat(report: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in report.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif name != "processes":
            rows.append((f"{prefix}{name}", value))
    return rows
