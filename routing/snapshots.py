"""Compile one tenant's ORM rows into the snapshot that gateways load; publish on commit."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from channels_app.engine.providers import PROVIDERS
from channels_app.engine.rates import read_overrides
from channels_app.models import Channel
from routing.engine.document import (
    ChannelSpec,
    CredentialSpec,
    ModelSpec,
    PolicySpec,
    RuleSpec,
    TenantDocument,
    encode_document,
)
from routing.engine.limiters import terms_of
from routing.engine.snapshot import in_order
from routing.engine.source import SNAPSHOT_NOTICE
from routing.engine.strategies import STRATEGIES
from routing.engine.transformers import chain_of
from routing.models import ModelAlias, ModelFallback, RoutingPolicy, RoutingRule
from routing.selectors import rules_all
from tenants.context import platform_scope, tenant_scope
from tenants.engine.limits import LimitSpec
from tenants.engine.principal import Principal
from tenants.models import ConfigState, Limit, LimitScope, Quota, Scope, Tenant

logger = logging.getLogger("routex.snapshots")


class DoesNotCompile(ValueError):
    """The rows make no usable configuration; the message says which row and why."""


def publish(*, tenant_id: str) -> bool:
    """Compile a tenant's configuration and hand it to the gateways; return whether it compiled.

    A configuration that does not compile leaves the last good snapshot serving and is noted on the version row, where
    the admin, `status` and `doctor` show it.
    """
    with tenant_scope(tenant_id):
        # The lock makes versions and contents agree: writers bump this row in their own transaction.
        state = ConfigState.objects.select_for_update().get(tenant_id=tenant_id)
        if state.snapshot_version >= state.version:
            return True
        try:
            document = compile_tenant(tenant=state.tenant, version=state.version)
        except DoesNotCompile as error:
            logger.error("configuration v%d of %s does not compile: %s", state.version, state.tenant.slug, error)
            ConfigState.objects.filter(pk=tenant_id).update(failed_version=state.version, failure=str(error))
            return False
        ConfigState.objects.filter(pk=tenant_id).update(
            snapshot_version=state.version,
            snapshot=encode_document(document),
            snapshot_at=timezone.now(),
            failed_version=0,
            failure="",
        )
        with connection.cursor() as cursor:
            # Delivered when this transaction commits, so nobody is told of a snapshot that is not there.
            cursor.execute("SELECT pg_notify(%s, %s)", [SNAPSHOT_NOTICE, tenant_id])
    return True


def publish_on_change(sender: Any, *, tenant_id: str, **_: Any) -> None:
    """Receive `config_changed`: the writing transaction has committed."""
    publish(tenant_id=tenant_id)


def publish_stale() -> int:
    """Publish every tenant whose version is ahead of its snapshot, and return how many there were.

    This is what picks up after a process that died between commit and publishing.
    """
    with platform_scope():
        stale = list(
            ConfigState.objects.filter(Q(snapshot_version__lt=F("version")) & ~Q(failed_version=F("version")))
            .order_by("changed_at")
            .values_list("tenant_id", flat=True)
        )
    for tenant_id in stale:
        publish(tenant_id=tenant_id)
    return len(stale)


def compile_tenant(*, tenant: Tenant, version: int) -> TenantDocument:
    """Return the document of a tenant's rows; runs in the tenant's scope.

    Raises:
        DoesNotCompile: a row refers to something that is not there.
    """
    policy = RoutingPolicy.objects.first() or RoutingPolicy()
    if policy.strategy not in STRATEGIES:
        raise DoesNotCompile(f"The policy's strategy {policy.strategy!r} is not one of: {', '.join(STRATEGIES)}.")
    return TenantDocument(
        version=version,
        tenant_id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        is_suspended=tenant.state == Tenant.State.SUSPENDED,
        suspended_reason=tenant.suspended_reason,
        private_upstreams=tuple(tenant.private_upstreams),
        channels=tuple(_channel(channel) for channel in Channel.objects.prefetch_related("credentials")),
        aliases={alias.name: alias.target for alias in ModelAlias.objects.all()},
        limits=_limits(Limit.objects.exclude(scope=LimitScope.KEY)),
        fallbacks={row.model: tuple(row.fallbacks) for row in ModelFallback.objects.all()},
        timezone=tenant.timezone,
        quotas=tuple(quota.spec for quota in Quota.objects.exclude(scope=Scope.KEY)),
        policy=PolicySpec(
            strategy=policy.strategy,
            attempts=policy.attempts,
            retry_total_s=policy.retry_total_s,
            is_session_enabled=policy.is_session_enabled,
            is_session_sticky=policy.is_session_sticky,
            session_ttl_s=policy.session_ttl_s,
            session_cleanup_interval_s=policy.session_cleanup_interval_s,
            breaker_failures=policy.breaker_failures,
            breaker_open_s=policy.breaker_open_s,
            has_cooldown=policy.has_cooldown,
        ),
        tags=dict(tenant.tags),
        # Those that are switched off come along: a dry run and the console show them.
        rules=tuple(_rule(rule) for rule in rules_all()),
    )


def _rule(rule: RoutingRule) -> RuleSpec:
    return RuleSpec(
        slug=rule.slug,
        type=rule.type,
        condition=rule.condition,
        targets=tuple(rule.targets),
        priority=rule.priority,
        is_enabled=rule.is_enabled,
    )


def compile_key(*, principal: Principal) -> Principal:
    """Return a key with its own limits and quotas as they are in the database now.

    Raises:
        DoesNotCompile: there is no limiter for one of them.
    """
    limits = Limit.objects.filter(scope=LimitScope.KEY, scope_id=principal.key_id)
    quotas = Quota.objects.filter(scope=Scope.KEY, scope_id=principal.key_id)
    return msgspec.structs.replace(
        principal, limits=in_order(_limits(limits)), quotas=tuple(quota.spec for quota in quotas)
    )


def _limits(rows: QuerySet[Limit]) -> tuple[LimitSpec, ...]:
    """Return limits as the gateways count them; a key's own go to these with the key, all others with the tenant."""
    found = []
    for row in rows.order_by("scope", "scope_id", "kind", "window_s"):
        try:
            spec = msgspec.convert({name: getattr(row, name) for name in LimitSpec.__struct_fields__}, LimitSpec)
            terms_of(spec)
        except ValueError as error:
            raise DoesNotCompile(f"Limit {row.id} ({row}): {error}") from error
        found.append(spec)
    return tuple(found)


def _channel(channel: Channel) -> ChannelSpec:
    if channel.provider not in PROVIDERS:
        raise DoesNotCompile(
            f"Channel {channel.slug!r}: provider {channel.provider!r} is not one of: {', '.join(PROVIDERS)}."
        )
    provider = PROVIDERS[channel.provider]
    if not (channel.base_url or provider.base_url):
        raise DoesNotCompile(f"Channel {channel.slug!r}: {provider.label} needs a base URL.")
    if channel.format and channel.format not in provider.formats():
        raise DoesNotCompile(
            f"Channel {channel.slug!r}: {provider.label} does not speak {channel.format!r}, "
            f"only: {', '.join(provider.formats())}."
        )
    try:
        chain = chain_of(channel.transformers)
    except ValueError as error:
        raise DoesNotCompile(f"Channel {channel.slug!r}: {error}.") from error
    try:
        prices = read_overrides(channel.prices)
    except ValueError as error:
        raise DoesNotCompile(f"Channel {channel.slug!r}: {error}.") from error
    named = [step.transformer.format for step in chain.steps if step.transformer.format in provider.formats()]
    return ChannelSpec(
        id=channel.id,
        slug=channel.slug,
        provider=channel.provider,
        base_url=channel.base_url,
        format=channel.format or next(iter(named), ""),
        credentials=tuple(CredentialSpec(c.slug, c.sealed) for c in channel.credentials.all()),
        models=tuple(_model(channel.slug, entry) for entry in channel.served_models),
        priority=channel.priority,
        weight=channel.weight,
        is_enabled=channel.is_enabled,
        connect_s=channel.connect_s,
        first_byte_s=channel.first_byte_s,
        idle_s=channel.idle_s,
        total_s=channel.total_s,
        region=channel.region,
        tags=tuple(channel.tags),
        # Those that only name the format have had their effect; without others the bytes may pass as they are.
        transformers=tuple(channel.transformers) if chain.changes_anything else (),
        prices=prices,
    )


def _model(channel_slug: str, entry: Any) -> ModelSpec:
    if isinstance(entry, str) and entry:
        return ModelSpec(entry, entry)
    if isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"]:
        return ModelSpec(entry["name"], str(entry.get("upstream") or entry["name"]))
    raise DoesNotCompile(f"Channel {channel_slug!r}: {entry!r} is neither a model name nor a name with an upstream.")
