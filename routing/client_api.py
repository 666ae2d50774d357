"""Ninja: /client/models; here, because it joins channels with aliases."""

from __future__ import annotations

from ninja import Router, Schema

from routing.selectors import ServedModel, models_for
from tenants.client_api import ClientRequest
from tenants.context import in_tenant

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
