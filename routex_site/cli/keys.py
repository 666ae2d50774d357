"""`keys new`, `ls`, `revoke`: through the management API of the running server."""

from __future__ import annotations

import sys
import urllib.parse
from typing import Any

from routex_site.cli.install import call
from routex_site.cli.output import USAGE, Failure, put_json, put_table, talk


def new(
    slug: str,
    *,
    tenant: str,
    models: list[str],
    channels: list[str],
    expires: str | None,
    is_secret_given: bool,
    as_json: bool,
) -> None:
    """Make a key and write it out: the bare key for `KEY=$(routex keys new ci)`."""
    body: dict[str, Any] = {"slug": slug}
    if models:
        body["models"] = models
    if channels:
        body["channels"] = channels
    if expires:
        body["expires_at"] = expires
    if is_secret_given:
        body["secret"] = sys.stdin.readline().strip()
        if not body["secret"]:
            raise Failure("Standard input is empty: write the key there.", code=USAGE)
    made = call("POST", "/api/keys", tenant=tenant, body=body)
    if as_json:
        put_json(made)
        return
    talk(f"Key {slug} of tenant {tenant}; it is shown this once:")
    print(made["secret"])


def listing(*, tenant: str, as_json: bool) -> None:
    """List the tenant's keys, page after page."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = call("GET", f"/api/keys?limit=200{after}", tenant=tenant)
        rows += page["data"]
        cursor = page.get("next_cursor")
        if not page.get("has_more") or not cursor:
            break
        after = f"&after={urllib.parse.quote(str(cursor))}"
    if as_json:
        put_json(rows)
        return
    shown = [row | {"key": f"{row.get('prefix')}…{row.get('last_four')}"} for row in rows]
    put_table(shown, ["slug", "key", "state", "models", "channels", "expires_at", "id"])


def revoke(slug: str, *, tenant: str, is_sure: bool) -> None:
    """Revoke a key; asks for its name where a person can answer."""
    if not is_sure:
        if not sys.stdin.isatty():
            raise Failure("Revoking is final.", next_command=f"./routex keys revoke {slug} --yes", code=USAGE)
        talk(f"Clients that send {slug} are refused from then on, and it cannot be undone. Type its name to go on:")
        if input().strip() != slug:
            raise Failure("That is another name; nothing was revoked.")
    call("DELETE", f"/api/keys/{urllib.parse.quote(slug, safe='')}", tenant=tenant)
    talk(f"Key {slug} of tenant {tenant} is revoked.")
