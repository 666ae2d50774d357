"""What would become of a request under a tenant's present configuration, or with other rules; asks no upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from psycopg.conninfo import make_conninfo

from analytics.engine.ledger import Ledger
from analytics.engine.price_book import Prices
from analytics.price_books import price_book_read
from channels_app.engine.providers import PROVIDERS
from routing.engine.accounts import Accounts
from routing.engine.budget import Budget
from routing.engine.call import Call
from routing.engine.choosing import prepare
from routing.engine.errors import GatewayError
from routing.engine.gateway import SCOPE_KEY, Gateway
from routing.engine.paths import Paths
from routing.engine.pipeline import check_address, check_key, check_tenant, understand
from routing.engine.rehearsal import Rehearsed, foresee, refusal_of
from routing.engine.ruleset import rules_of
from routing.engine.snapshot import Snapshot, build_snapshot
from routing.engine.store import Store
from routing.engine.stores.memory import MemoryStore
from routing.engine.stores.valkey import ValkeyStore
from routing.snapshots import compile_tenant
from tenants.engine.ids import new_id
from tenants.engine.principal import Principal
from tenants.models import ConfigState, Tenant

_PATHS = Paths()
#: A body's member that belongs to one format only → where such bodies go.
_MARKS = {
    "contents": "/v1beta/models/{model}:generateContent",
    "input": "/v1/responses",
    "system": "/v1/messages",
    "query": "/v1/rerank",
}
#: What a key that is limited to networks leaves open where no address is given.
_FROM_WHERE = "The key is limited to networks, and no `client_address` was given: from elsewhere it is refused."
#: What a rehearsal never touches.
_NOTHING: Any = None


class UnknownPath(ValueError):
    """The path takes no requests."""


def live_gateway(request: HttpRequest) -> Gateway | None:
    """Return the gateway of the process that answers a page, so that its breakers and counters are minded."""
    found = getattr(request, "scope", {}).get(SCOPE_KEY)
    return found if isinstance(found, Gateway) else None


@asynccontextmanager
async def _new_gateway() -> AsyncIterator[Gateway]:
    """Give a gateway as one that has just started: it knows what lies in the store and the ledger, and no more."""
    env = settings.ENV
    store: Store = ValkeyStore(env.redis_url) if env.redis_url else MemoryStore()
    database = connection.settings_dict
    ledger = Ledger(
        make_conninfo(
            dbname=database["NAME"], user=database["USER"], password=database["PASSWORD"], host=database["HOST"],
            port=database["PORT"],
        ),
        new_id("prc"),
        lease_s=env.quota_lease_s,
    )  # fmt: skip
    accounts = Accounts(ledger, Path())
    budget = Budget(accounts, base_url=env.public_url, default_output_tokens=env.default_output_tokens)
    try:
        yield Gateway(
            configuration=_NOTHING,
            upstreams=_NOTHING,
            records=_NOTHING,
            budget=budget,
            store=store,
            base_url=env.public_url,
        )
    finally:
        await ledger.close()
        await store.close()


def guessed_path(body: Any) -> str:
    """Return the path that a body is most likely meant for."""
    members = body if isinstance(body, dict) else {}
    found = (path for mark, path in _MARKS.items() if mark in members)
    return next(found, "/v1/chat/completions").format(model=members.get("model", "model"))


def snapshot_now(*, tenant: Tenant) -> Snapshot:
    """Return the tenant's configuration as it is in the database now, its credentials left sealed.

    Raises:
        DoesNotCompile: a row refers to something that is not there.
    """
    version = ConfigState.objects.values_list("version", flat=True).get(tenant_id=tenant.pk)
    document = compile_tenant(tenant=tenant, version=version)
    prices = Prices(price_book_read())
    snapshot = build_snapshot(document, provider=PROVIDERS.__getitem__, unseal=lambda sealed: sealed, prices=prices)
    rules_of(snapshot)  # compiled here and not on the event loop that the request is then tried on
    return snapshot


async def simulate(
    *,
    snapshot: Snapshot,
    principal: Principal,
    gateway: Gateway | None,
    path: str,
    body: Any,
    headers: dict[str, str],
    client_address: str = "",
) -> Rehearsed:
    """Return what would become of a request: the gateway's own steps up to the first try.

    Async, so that it runs on the loop that the live gateway's state belongs to; what takes long is done beside it.

    Args:
        snapshot: the tenant's configuration.
        principal: whose request it would be.
        gateway: the one of this process; None: as one would answer that has just started.
        path: where the request would go.
        body: its body, as JSON-able data.
        headers: its headers, but for the key.
        client_address: where it would come from; "" where nobody said.

    Raises:
        UnknownPath: no request goes to this path.
        BadRequest: the body is not what the path takes.
    """
    found = _PATHS.find(path)
    if found is None or found[0].takes_form:
        raise UnknownPath(f"No request goes to {path}. There are: {', '.join(_PATHS)}.")
    call = Call(
        id=new_id("req"),
        format=found[0],
        route=found[1],
        headers={name.lower().encode("latin-1", "replace"): value.encode() for name, value in headers.items()},
        query={},
        client_address=client_address,
        body=msgspec.json.encode(body),
        principal=principal,
        snapshot=snapshot,
    )
    try:
        check_key(principal, settings.ENV.public_url)
        if client_address:
            check_address(principal, client_address)
        check_tenant(snapshot)
    except GatewayError as refused:
        return refusal_of(call, refused)
    understand(call)
    await prepare(call)
    if gateway is not None:
        told = await foresee(call, gateway)
    else:
        async with _new_gateway() as new:
            told = await foresee(call, new)
    if principal.networks is not None and not client_address:
        return msgspec.structs.replace(told, unsure=[_FROM_WHERE, *told.unsure])
    return told
