"""Every write to policy, aliases, fallbacks and backups; runs in the tenant's scope and ends with config_touch."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from routing import config_export
from routing.engine.strategies import STRATEGIES
from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy
from tenants.models import Tenant
from tenants.services import SYSTEM, audit_record, config_touch

#: How many configuration documents of a tenant are kept.
BACKUPS_KEPT = 10


def policy_set(*, tenant_id: str, actor: str = SYSTEM, **fields: Any) -> RoutingPolicy:
    """Change the tenant's policy, made with the defaults first when there is none.

    Raises:
        ValidationError: the strategy is not known, or a number is out of range.
    """
    policy = RoutingPolicy.objects.first() or RoutingPolicy()
    changes = {name: [getattr(policy, name), value] for name, value in fields.items() if getattr(policy, name) != value}
    for name, value in fields.items():
        setattr(policy, name, value)
    if policy.strategy not in STRATEGIES:
        raise ValidationError({"strategy": f"{policy.strategy!r} is not one of: {', '.join(STRATEGIES)}."})
    policy.full_clean()
    policy.save()
    config_touch(tenant_id=tenant_id)
    audit_record(tenant_id=tenant_id, actor=actor, action="policy.updated", target=policy, changes=changes)
    return policy


def alias_set(*, tenant_id: str, name: str, target: str, actor: str = SYSTEM) -> ModelAlias:
    """Let a name stand for a model; setting it again changes what it stands for."""
    before = ModelAlias.objects.filter(name=name).values_list("target", flat=True).first()
    alias = ModelAlias(name=name, target=target)
    alias.full_clean(validate_unique=False)
    alias.save()
    config_touch(tenant_id=tenant_id)
    changes = {"target": [before, target]}
    audit_record(tenant_id=tenant_id, actor=actor, action="alias.set", target=alias, changes=changes)
    return alias


def alias_delete(*, tenant_id: str, name: str, actor: str = SYSTEM) -> bool:
    """Remove an alias; return whether there was one."""
    alias = ModelAlias.objects.filter(name=name).first()
    if alias is None:
        return False
    audit_record(tenant_id=tenant_id, actor=actor, action="alias.deleted", target=alias)
    alias.delete()
    config_touch(tenant_id=tenant_id)
    return True


def fallback_set(*, tenant_id: str, model: str, fallbacks: list[str], actor: str = SYSTEM) -> ModelFallback | None:
    """Say which models are tried, in order, after a model; an empty list removes the entry."""
    row = ModelFallback.objects.filter(model=model).first()
    before = row.fallbacks if row else []
    row = row or ModelFallback(model=model)
    changes = {"fallbacks": [before, fallbacks]}
    row.fallbacks = fallbacks
    audit_record(tenant_id=tenant_id, actor=actor, action="fallback.set", target=row, changes=changes)
    if fallbacks:
        row.full_clean(validate_unique=False)
        row.save()
    elif before:
        row.delete()
    config_touch(tenant_id=tenant_id)
    return row if fallbacks else None


def backup_create(*, tenant: Tenant, reason: str, document: str = "", actor: str = SYSTEM) -> ConfigBackup:
    """Keep a configuration document of the tenant, as it is now when none is given, and only the newest ten of them.

    A backup changes no configuration, so nothing is published.
    """
    document = document or config_export.tenant_text(tenant)
    backup = ConfigBackup.objects.create(reason=reason, document=document)
    kept = ConfigBackup.objects.order_by("-at", "-id").values_list("id", flat=True)[:BACKUPS_KEPT]
    ConfigBackup.objects.exclude(id__in=list(kept)).delete()
    audit_record(tenant_id=tenant.id, actor=actor, action="config.backed_up", target=backup)
    return backup
