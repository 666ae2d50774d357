"""Ninja: /client/models, which joins channels with aliases, and /client/routing/test."""

from __future__ import annotations

from typing import Any

import msgspec
from ninja import Field, Router, Schema

from routing.engine.errors import GatewayError
from routing.engine.snapshot import Snapshot
from routing.selectors import ServedModel, models_for
from routing.simulation import UnknownPath, guessed_path, live_gateway, simulate, snapshot_now
from routing.snapshots import DoesNotCompile, compile_key
from tenants.client_api import ClientError, ClientRequest
from tenants.context import in_tenant
from tenants.engine.principal import Principal
from tenants.models import Tenant

router = Router(tags=["models"])


class ModelOut(Schema):
    """A model name that the key may ask for. `target` says what an alias stands for."""

    name: str
    target: str
    channels: list[str]


class ModelsOut(Schema):
    """All of them; the list is not paged."""

    data: list[ModelOut]


@router.get("/models", response=ModelsOut)
async def models(request: ClientRequest) -> dict[str, list[ServedModel]]:
    """Return the models and aliases that the key may use, with the channels that serve them."""
    return {"data": await in_tenant(request.auth.tenant_id, models_for, principal=request.auth)}


class RoutingTrialIn(Schema):
    """A request as it would be sent with this key. `path` is guessed from the body where it is not given."""

    request: dict[str, Any]
    path: str = Field("", max_length=500)
    headers: dict[str, str] = {}


class RefusalOut(Schema):
    """What the client would be told instead of an answer."""

    status: int
    code: str
    message: str
    retry_after_s: float | None


class RehearsedOut(Schema):
    """What would become of the request now; `unsure` says what only the real request finds out."""

    object: str
    request_id: str
    channel: str
    model: str
    upstream_format: str
    decision: dict[str, Any]
    error: RefusalOut | None
    unsure: list[str]


@router.post("/routing/test", response=RehearsedOut, tags=["routing"])
async def routing_test(request: ClientRequest, given: RoutingTrialIn) -> dict[str, Any]:
    """Tell where a request with this key would go and why; nothing is sent, counted or recorded."""
    try:
        snapshot, principal = await in_tenant(request.auth.tenant_id, _compiled, principal=request.auth)
        told = await simulate(
            snapshot=snapshot,
            principal=principal,
            gateway=live_gateway(request),
            path=given.path or guessed_path(given.request),
            body=given.request,
            headers=given.headers,
            client_address=request.META.get("REMOTE_ADDR", ""),
        )
    except UnknownPath as error:
        raise ClientError(400, "invalid_value", str(error)) from None
    except DoesNotCompile as error:
        raise ClientError(409, "unusable_configuration", f"The present configuration is not usable: {error}") from None
    except GatewayError as error:
        raise ClientError(error.status, error.code, error.message) from None
    found: dict[str, Any] = msgspec.to_builtins(told)
    return found


def _compiled(*, principal: Principal) -> tuple[Snapshot, Principal]:
    return snapshot_now(tenant=Tenant.objects.get(pk=principal.tenant_id)), compile_key(principal=principal)
