"""A tenant's rows as a configuration document: the same rows always give the same bytes, and never a secret."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

from channels_app.models import Channel
from routing.config_document import API_VERSION, LIMIT_OPTIONS
from routing.config_text import dump, quoted_all
from routing.models import RoutingPolicy, RoutingRule
from routing.selectors import aliases_by_name, fallbacks_by_model, policy_get, rules_all
from tenants.context import tenant_scope
from tenants.engine.money import usd_text
from tenants.models import GatewayKey, KeyState, Limit, LimitScope, Membership, Quota, QuotaScope, Scope, Tenant


def tenants_document(tenants: Sequence[Tenant], *, is_operator: bool) -> dict[str, Any]:
    """Return the document of the tenants, by slug.

    Keys and channels come without secrets: applied to this install the stored ones stay, applied elsewhere keys are
    made anew and credentials have to be given. What only the platform may set is there for an operator alone.
    """
    entries = []
    for tenant in sorted(tenants, key=lambda tenant: tenant.slug):
        with tenant_scope(tenant.id):
            entries.append(_tenant(tenant, is_operator=is_operator))
    return {"apiVersion": API_VERSION, "tenants": quoted_all(entries)}


def tenant_text(tenant: Tenant) -> str:
    """Return a tenant's own document as YAML, as its backups hold it."""
    return document_text(tenants_document([tenant], is_operator=False))


def document_text(document: dict[str, Any], *, format: Literal["yaml", "json"] = "yaml") -> str:
    """Return a document as text."""
    return dump(document, format=format)


def _tenant(tenant: Tenant, *, is_operator: bool) -> dict[str, Any]:
    limits, quotas = _limits(), _quotas()
    own = (Scope.TENANT.value, "")
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "timezone": tenant.timezone,
        "tags": dict(sorted(tenant.tags.items())),
        **({"private_upstreams": tenant.private_upstreams} if is_operator else {}),
        "members": _members(),
        "keys": [
            _key(key, limits, quotas) for key in GatewayKey.objects.exclude(state=KeyState.REVOKED).order_by("slug")
        ],
        "limits": limits.get(own, []),
        "quotas": quotas.get(own, []),
        "aliases": aliases_by_name(),
        "fallbacks": fallbacks_by_model(),
        "channels": [_channel(channel, limits, quotas) for channel in Channel.objects.order_by("slug")],
        "policy": _policy(policy_get()),
        "rules": [_rule(rule) for rule in rules_all()],
    }


def _members() -> list[dict[str, Any]]:
    """Return people with local accounts; others are known by their identity provider and come back through it."""
    rows = Membership.objects.filter(user__issuer="local").exclude(user__email="").select_related("user")
    return sorted(({"email": row.user.email, "role": row.role} for row in rows), key=lambda row: str(row["email"]))


Owned = dict[tuple[str, str], list[dict[str, Any]]]


def _limits() -> Owned:
    found: Owned = {}
    for row in Limit.objects.order_by("kind", "window_s", "scope_id"):
        entry: dict[str, Any] = {"kind": row.kind, "limit": row.limit}
        if row.kind != Limit.Kind.CONCURRENCY:
            entry |= {"algorithm": row.algorithm, "window_s": row.window_s}
        named = {name: value for name, value in sorted(row.options.items()) if name in LIMIT_OPTIONS}
        entry |= named
        if others := {name: value for name, value in sorted(row.options.items()) if name not in named}:
            entry["options"] = others
        owner = (row.scope, row.scope_id)
        if row.scope == LimitScope.MODEL:
            entry["model"] = row.scope_id
            owner = (Scope.TENANT.value, "")
        found.setdefault(owner, []).append(entry)
    return found


def _quotas() -> Owned:
    found: Owned = {}
    for row in Quota.objects.order_by("kind", "window", "scope", "scope_id"):
        amount = usd_text(row.amount) if row.kind == Quota.Kind.USD else row.amount
        entry = {row.kind: amount, "window": row.window}
        owner = (row.scope, row.scope_id)
        if row.scope == QuotaScope.TAG:
            owner, entry = (QuotaScope.TENANT, ""), entry | {"tag": row.scope_id}
        found.setdefault(owner, []).append(entry)
    return found


def _key(key: GatewayKey, limits: Owned, quotas: Owned) -> dict[str, Any]:
    expires_at = key.expires_at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if key.expires_at else None
    return {
        "slug": key.slug,
        "models": key.allowed_models,
        "channels": key.allowed_channels,
        "ips": key.allowed_ips,
        "expires_at": expires_at,
        "tags": dict(sorted(key.tags.items())),
        "enabled": key.state == KeyState.ACTIVE,
        "limits": limits.get((Scope.KEY, key.id), []),
        "quotas": quotas.get((Scope.KEY, key.id), []),
    }


def _channel(channel: Channel, limits: Owned, quotas: Owned) -> dict[str, Any]:
    return {
        "slug": channel.slug,
        "provider": channel.provider,
        "format": channel.format or None,
        "base_url": channel.base_url or None,
        "models": [_model(entry) for entry in channel.served_models],
        "prices": channel.prices,
        "priority": channel.priority,
        "weight": channel.weight,
        "enabled": channel.is_enabled,
        "transformers": channel.transformers,
        "timeout_s": {
            "connect": _number(channel.connect_s),
            "first_byte": _number(channel.first_byte_s),
            "idle": _number(channel.idle_s),
            "total": _number(channel.total_s),
        },
        "region": channel.region or None,
        "tags": channel.tags,
        "limits": limits.get((Scope.CHANNEL, channel.id), []),
        "quotas": quotas.get((Scope.CHANNEL, channel.id), []),
    }


def _model(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    upstream = entry.get("upstream") or entry["name"]
    return entry["name"] if upstream == entry["name"] else {"name": entry["name"], "upstream": upstream}


def _rule(rule: RoutingRule) -> dict[str, Any]:
    return {
        "slug": rule.slug,
        "type": rule.type,
        "condition": rule.condition,
        "target": rule.targets[0] if len(rule.targets) == 1 else rule.targets,
        "priority": rule.priority,
        "enabled": rule.is_enabled,
        "description": rule.description,
    }


def _policy(policy: RoutingPolicy) -> dict[str, Any]:
    return {
        "strategy": policy.strategy,
        "session": {
            "enabled": policy.is_session_enabled,
            "ttl_s": policy.session_ttl_s,
            "sticky": policy.is_session_sticky,
            "cleanup_interval_s": policy.session_cleanup_interval_s,
        },
        "retry": {"attempts": policy.attempts, "total_s": _number(policy.retry_total_s)},
        "breaker": {"failures": policy.breaker_failures, "open_s": _number(policy.breaker_open_s)},
        "cooldown": policy.has_cooldown,
    }


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
