"""`prices ls`, `update`, `rerate`: through the management API of the running server."""

from __future__ import annotations

import urllib.parse
from decimal import Decimal
from typing import Any

from routex_site.cli.install import call
from routex_site.cli.output import put_json, put_table, talk

COLUMNS = ["provider", "model", "input", "output", "cache_read", "cache_write", "tiers", "version"]


def listing(*, model: str, provider: str, as_json: bool) -> None:
    """List public prices, USD per million tokens."""
    query = urllib.parse.urlencode({name: value for name, value in (("model", model), ("provider", provider)) if value})
    answer = call("GET", f"/api/prices?{query}" if query else "/api/prices")
    if as_json:
        put_json(answer["data"])
        return
    put_table([_line(row) for row in answer["data"]], COLUMNS)
    if answer.get("has_more"):
        talk("There are more: name a model or --provider.")
    elif not answer["data"]:
        talk("No public price: requests cost an unknown amount unless a channel's `prices` has one.")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    tiers = ", ".join(f"above {start}" for start in row.get("tiers") or {})
    return {**(row.get("rates") or {}), **row, "tiers": tiers or None}


def update(*, as_json: bool) -> None:
    """Take over the prices of the installed package."""
    answer = call("POST", "/api/prices/update", body={})
    if as_json:
        put_json(answer)
    elif answer["is_new"]:
        talk(f"Prices {answer['version']} are in force. Requests of before keep what they cost; see prices rerate.")
    else:
        talk(f"Prices {answer['version']} were in force already.")


def rerate(*, since: str, until: str, version: str, tenants: list[str], is_dry_run: bool, as_json: bool) -> None:
    """Rate stored requests again, tenant by tenant, and tell the difference."""
    body: dict[str, Any] = {"since": _moment(since), "version": version, "dry_run": is_dry_run}
    if until:
        body["until"] = _moment(until)
    rows = [_rerate_one(tenant, body) for tenant in tenants or _all_tenants()]
    if as_json:
        put_json(rows)
        return
    put_table(rows, ["tenant", "looked_at", "changed", "unpriced", "before_usd", "after_usd", "difference_usd"])
    if is_dry_run:
        talk("Nothing was changed.")


def _rerate_one(tenant: str, body: dict[str, Any]) -> dict[str, Any]:
    counts = dict.fromkeys(("looked_at", "changed", "unpriced"), 0)
    before = after = Decimal(0)
    step: dict[str, Any] = {"next": ""}
    while True:
        step = call("POST", "/api/prices/rerate", tenant=tenant, body=body | {"after": step["next"]})
        for name in counts:
            counts[name] += step[name]
        before, after = before + Decimal(step["before_usd"]), after + Decimal(step["after_usd"])
        if not step["next"]:
            break
    usd = {"before_usd": before, "after_usd": after, "difference_usd": after - before}
    return {"tenant": tenant, **counts, **{name: f"{amount:f}" for name, amount in usd.items()}}


def _all_tenants() -> list[str]:
    slugs: list[str] = []
    after = ""
    while True:
        page = call("GET", f"/api/tenants?limit=200{after}")
        slugs += [row["slug"] for row in page["data"]]
        if not page.get("has_more"):
            return slugs
        after = f"&after={urllib.parse.quote(str(page['next_cursor']))}"


def _moment(text: str) -> str:
    """Return a bare day as its beginning in UTC; everything else is the server's to judge."""
    return f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text
