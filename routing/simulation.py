"""What would become of a request under a tenant's present configuration, or with other rules; asks no upstream."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest

from analytics.engine.price_book import Prices
from analytics.price_books import price_book_read
from channels_app.engine.providers import PROVIDERS
from routing.engine.call import Call
from routing.engine.choosing import prepare
from routing.engine.gateway import SCOPE_KEY, Gateway
from routing.engine.paths import Paths
from routing.engine.pipeline import understand
from routing.engine.rehearsal import Rehearsed, foresee
from routing.engine.ruleset import rules_of
from routing.engine.snapshot import Snapshot, build_snapshot
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
#: What a rehearsal never touches.
_NOTHING: Any = None


class UnknownPath(ValueError):
    """The path takes no requests."""


def live_gateway(request: HttpRequest) -> Gateway:
    """Return the gateway of the process that answers a page, so that its breakers and counters are minded.

    A process without one has seen no upstream fail: it answers as a gateway would that has just started.
    """
    found = getattr(request, "scope", {}).get(SCOPE_KEY)
    if isinstance(found, Gateway):
        return found
    return Gateway(configuration=_NOTHING, upstreams=_NOTHING, records=_NOTHING)


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
    gateway: Gateway,
    path: str,
    body: Any,
    headers: dict[str, str],
    client_address: str = "",
) -> Rehearsed:
    """Return what would become of a request: the gateway's own steps up to the first try.

    Async, so that it runs on the loop that the live gateway's state belongs to; what takes long is done beside it.

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
    understand(call)
    await prepare(call)
    return foresee(call, gateway)
