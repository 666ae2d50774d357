"""Ninja: who a tenant key is (authentication for all of /client), and /client/key."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from ninja.security.http import HttpAuthBase

from tenants.context import in_platform, in_tenant
from tenants.engine import keys
from tenants.engine.money import usd_text
from tenants.engine.principal import Principal
from tenants.models import GatewayKey, KeyState, LimitScope, Quota, QuotaScope, Tenant
from tenants.selectors import QuotaStanding, key_find, limits_of, principal_of_key, quota_standings, quotas_of

router = Router(tags=["key"])


class ClientError(Exception):
    """A refusal. `code` is stable; the message says what happened, why, and what to do."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class KeyAuth(HttpAuthBase):
    """A gateway key in any of the headers that the official SDKs use."""

    openapi_scheme = "bearer"

    async def __call__(self, request: HttpRequest) -> Principal:
        """Return who calls; raises ClientError."""
        # The peer of the connection: what a header says of the client, anybody can write there.
        return await in_platform(principal_of, presented_key(request), request.META.get("REMOTE_ADDR", ""))


class ClientRequest(HttpRequest):
    """A request to the client API, as operations see it."""

    auth: Principal


def presented_key(request: HttpRequest) -> str:
    """Return the key of a request, or an empty string."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return request.headers.get("x-api-key", "") or request.headers.get("x-goog-api-key", "")


def principal_of(secret: str, client_address: str) -> Principal:
    """Return who a gateway key belongs to, in the platform's scope.

    Raises:
        ClientError: there is no key, or it is malformed, foreign, unknown, expired, disabled, revoked, limited to
            networks elsewhere or of a suspended tenant.
    """
    if not secret:
        raise ClientError(
            401, "missing_api_key", "No API key. Send it as `Authorization: Bearer rtx_…` (or `x-api-key`)."
        )
    if not keys.is_well_formed(secret):
        raise _malformed(secret)
    key = key_find(secret=secret)
    if key is None:
        text = f"Unknown API key `rtx_…{secret[-4:]}`. It may be mistyped or deleted."
        raise ClientError(401, "invalid_api_key", text)
    _check_usable(key)
    principal = principal_of_key(key=key)
    if why := principal.why_not_from(client_address):
        raise ClientError(403, "ip_not_allowed", why)
    _check_tenant(key.tenant)
    return principal


def _malformed(secret: str) -> ClientError:
    if secret.startswith(keys.MANAGEMENT_TOKEN):
        text = "This is a management token (rtxm_…), which is for /api. The client API takes a gateway key (rtx_…)."
        return ClientError(401, "foreign_api_key", text)
    if owner := keys.foreign_owner(secret):
        return ClientError(401, "foreign_api_key", f"This looks like {owner}. Routex needs its own key.")
    text = "This is not a complete Routex key (checksum differs): it was probably cut when copied."
    return ClientError(401, "malformed_api_key", text)


def _check_usable(key: GatewayKey) -> None:
    if key.state != KeyState.ACTIVE:
        text = f"Key `{key.slug}` is {key.state}. Ask an admin of your tenant for another."
        raise ClientError(401, f"api_key_{key.state}", text)
    if key.expires_at is not None and key.expires_at <= timezone.now():
        when = key.expires_at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        raise ClientError(401, "api_key_expired", f"Key `{key.slug}` expired on {when}. Rotate it.")


def _check_tenant(tenant: Tenant) -> None:
    if tenant.state == Tenant.State.SUSPENDED:
        why = f": {tenant.suspended_reason}" if tenant.suspended_reason else ""
        raise ClientError(403, "tenant_suspended", f"Tenant `{tenant.slug}` is suspended{why}.")


class LimitOut(Schema):
    """How fast the key may go."""

    scope: str
    kind: str
    #: The pattern of model names that it counts for, if not for all.
    model: str | None
    limit: int
    window_s: int | None
    algorithm: str


class QuotaOut(Schema):
    """How much the key may use per calendar window; USD as a decimal string."""

    scope: str
    kind: str
    #: `name=value` of the key's tag that it counts for.
    tag: str | None
    amount: str | int
    window: str
    used: str | int
    left: str | int
    resets_at: dt.datetime | None


class KeyOut(Schema):
    """What a key may know about itself."""

    slug: str
    prefix: str
    tenant: str
    state: str
    expires_at: dt.datetime | None
    models: list[str]
    channels: list[str]
    allowed_ips: list[str]
    tags: dict[str, str]
    limits: list[LimitOut]
    quotas: list[QuotaOut]


@router.get("/key", response=KeyOut)
async def key(request: ClientRequest) -> dict[str, Any]:
    """Return the key that calls, with the limits and quotas that count for it."""
    return await in_tenant(request.auth.tenant_id, _describe, request.auth.tenant_id, request.auth.key_id)


def _describe(tenant_id: str, key_id: str) -> dict[str, Any]:
    row = GatewayKey.objects.select_related("tenant").get(pk=key_id, tenant_id=tenant_id)
    quotas = quotas_of(tenant_id=tenant_id, key=row)
    standings = quota_standings(quotas=quotas, zone=row.tenant.timezone)
    return {
        "slug": row.slug,
        "prefix": row.prefix,
        "tenant": row.tenant.slug,
        "state": row.state,
        "expires_at": row.expires_at,
        "models": row.allowed_models,
        "channels": row.allowed_channels,
        "allowed_ips": row.allowed_ips,
        "tags": row.tags,
        "limits": [
            {
                "scope": limit.scope,
                "kind": limit.kind,
                "model": limit.scope_id if limit.scope == LimitScope.MODEL else None,
                "limit": limit.limit,
                "algorithm": limit.kind if limit.kind == limit.Kind.CONCURRENCY else limit.algorithm,
                "window_s": None if limit.kind == limit.Kind.CONCURRENCY else limit.window_s,
            }
            for limit in limits_of(tenant_id=tenant_id, key_id=key_id)
        ],
        "quotas": [_quota(quota, standings[quota.pk]) for quota in quotas],
    }


def _quota(quota: Quota, standing: QuotaStanding) -> dict[str, Any]:
    def written(amount: int) -> str | int:
        return usd_text(amount) if quota.kind == Quota.Kind.USD else amount

    return {
        "scope": quota.scope,
        "tag": quota.scope_id if quota.scope == QuotaScope.TAG else None,
        "kind": quota.kind,
        "amount": written(quota.amount),
        "window": quota.window,
        "used": written(standing.used),
        "left": written(standing.left),
        "resets_at": standing.resets_at,
    }
