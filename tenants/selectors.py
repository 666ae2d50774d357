"""Every read of tenants, keys and members that more than one caller needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import BigIntegerField, ExpressionWrapper, F, Q, QuerySet, Sum
from django.db.models.functions import Greatest
from django.utils import timezone

from tenants.context import platform_scope
from tenants.engine import keys
from tenants.engine.networks import read_networks
from tenants.engine.principal import Principal
from tenants.engine.quota import window_at
from tenants.models import (
    ConfigState,
    GatewayKey,
    KeyState,
    Limit,
    LimitScope,
    ManagementToken,
    Membership,
    Quota,
    QuotaLease,
    QuotaScope,
    Scope,
    SetupToken,
    Tenant,
    User,
)


def tenant_by_slug(*, slug: str) -> Tenant | None:
    """Return a tenant, or None; the tenant table itself is not under row security."""
    return Tenant.objects.filter(slug=slug).first()


def tenant_by_id(*, tenant_id: str) -> Tenant | None:
    """Return a tenant, or None."""
    return Tenant.objects.filter(pk=tenant_id).first()


def administrator_exists() -> bool:
    """Whether somebody can administer the platform; until then `/setup/` is open to the holder of its token."""
    return User.objects.filter(is_superuser=True, is_active=True).exists()


def setup_is_open(*, token: str) -> bool:
    """Whether a set-up token is right, unused and in time, on an install without an administrator."""
    if not keys.is_well_formed(token, keys.SETUP_TOKEN) or administrator_exists():
        return False
    return SetupToken.objects.filter(digest=keys.digest(token), expires_at__gt=timezone.now()).exists()


def config_failure(*, tenant_id: str) -> str:
    """Return why the newest configuration is not in use, or an empty text; the last good one serves meanwhile."""
    failures = ConfigState.objects.filter(tenant_id=tenant_id).values_list("failure", flat=True)
    return failures.first() or ""


def membership_get(*, user: User, slug: str) -> Membership | None:
    """Return a person's membership of the tenant with that slug, or None: no tenant and no member look the same."""
    if not user.is_authenticated or not user.is_active:
        return None
    with platform_scope():
        return Membership.objects.select_related("tenant").filter(user=user, tenant__slug=slug).first()


def memberships_of(*, user: User) -> list[Membership]:
    """Return a person's memberships with their tenants, by slug."""
    with platform_scope():
        return list(Membership.objects.select_related("tenant").filter(user=user).order_by("tenant__slug"))


def key_by_secret(*, secret: str) -> GatewayKey | None:
    """Return the usable gateway key of a secret, with its tenant, or None."""
    if not keys.is_well_formed(secret):
        return None
    with platform_scope():
        return (
            _usable(GatewayKey.objects.select_related("tenant"))
            .filter(digest=keys.digest(secret), tenant__state=Tenant.State.ACTIVE)
            .first()
        )


def key_find(*, secret: str) -> GatewayKey | None:
    """Return the gateway key of a secret whatever its state, with its tenant, or None."""
    with platform_scope():
        return GatewayKey.objects.select_related("tenant").filter(digest=keys.digest(secret)).first()


def key_named(*, name: str) -> GatewayKey | None:
    """Return a key by its slug or id, in the tenant's scope."""
    return GatewayKey.objects.filter(Q(slug=name) | Q(id=name)).first()


def principal_of_key(*, key: GatewayKey) -> Principal:
    """Return a key as the gateways know it."""
    return Principal(
        tenant_id=key.tenant_id,
        key_id=key.id,
        key_slug=key.slug,
        state=key.state,
        expires_at_s=key.expires_at.timestamp() if key.expires_at else None,
        models=tuple(key.allowed_models),
        channels=tuple(key.allowed_channels),
        networks=read_networks(key.allowed_ips),
        tags=key.tags,
    )


def limits_of(*, tenant_id: str, key_id: str) -> list[Limit]:
    """Return the limits that count for a key: its own, its tenant's and those of models."""
    return list(Limit.objects.filter(_counting_for(key_id) | Q(scope=LimitScope.MODEL), tenant_id=tenant_id))


def quotas_of(*, tenant_id: str, key: GatewayKey) -> list[Quota]:
    """Return the quotas that count for a key: its own, its tags' and its tenant's."""
    tags = [f"{name}={value}" for name, value in key.tags.items()]
    tagged = Q(scope=QuotaScope.TAG, scope_id__in=tags)
    return list(Quota.objects.filter(_counting_for(key.pk) | tagged, tenant_id=tenant_id))


@dataclass(frozen=True, slots=True)
class QuotaStanding:
    """What is used of a quota in its present window, what is left, and when the next one begins."""

    used: int
    left: int
    resets_at: dt.datetime | None


def quota_standings(*, quotas: Sequence[Quota], zone: str, now: dt.datetime | None = None) -> dict[str, QuotaStanding]:
    """Return how quotas of one tenant stand, by their ids. What requests under way have reserved is not used."""
    moment_s = (now or timezone.now()).timestamp()
    spans = {quota.pk: window_at(quota.window, zone, moment_s) for quota in quotas}
    starts = {pk: dt.datetime.fromtimestamp(span.start_s, dt.UTC) for pk, span in spans.items()}
    known = ExpressionWrapper(F("settled") + F("abandoned") + F("written_off"), BigIntegerField())
    spent = Greatest(known, F("used"))
    rows = QuotaLease.objects.filter(quota_id__in=list(starts), window_start__in=set(starts.values()))
    sums = {
        (quota_id, start): int(total)
        for quota_id, start, total in rows.values_list("quota_id", "window_start").annotate(total=Sum(spent))
    }
    found = {}
    for quota in quotas:
        used, end_s = sums.get((quota.pk, starts[quota.pk]), 0), spans[quota.pk].end_s
        resets_at = None if end_s is None else dt.datetime.fromtimestamp(end_s, dt.UTC)
        found[quota.pk] = QuotaStanding(used, max(0, quota.amount - used), resets_at)
    return found


def _counting_for(key_id: str) -> Q:
    return Q(scope=Scope.TENANT) | Q(scope=Scope.KEY, scope_id=key_id)


def token_by_secret(*, secret: str) -> ManagementToken | None:
    """Return the usable management token of a secret, with its tenant if it has one, or None."""
    if not keys.is_well_formed(secret, keys.MANAGEMENT_TOKEN):
        return None
    with platform_scope():
        return _usable(ManagementToken.objects.select_related("tenant")).filter(digest=keys.digest(secret)).first()


def _usable(rows: QuerySet) -> QuerySet:
    return rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), state=KeyState.ACTIVE)
