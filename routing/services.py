"""Every write to rules, policy, names and backups; runs in the tenant's scope and ends with config_touch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from routing import config_export
from routing.engine.strategies import STRATEGIES
from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy, RoutingRule
from routing.rule_checks import MAX_RULES
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


@transaction.atomic
def rule_create(*, tenant_id: str, actor: str = SYSTEM, **fields: Any) -> RoutingRule:
    """Create a rule; `fields` are those of the model.

    Raises:
        ValidationError: a field is wrong, the slug is taken, or the tenant has as many rules as it may.
    """
    if RoutingRule.objects.count() >= MAX_RULES:
        raise ValidationError(f"A tenant has at most {MAX_RULES} rules.", code="max-length")
    rule = RoutingRule(**fields)
    rule.full_clean()
    rule.save()
    config_touch(tenant_id=tenant_id)
    audit_record(tenant_id=tenant_id, actor=actor, action="rule.created", target=rule)
    return rule


@transaction.atomic
def rule_update(*, tenant_id: str, rule: RoutingRule, actor: str = SYSTEM, **fields: Any) -> RoutingRule:
    """Change a rule; a change that changes nothing leaves no trace. Raises ValidationError as `rule_create`."""
    before = {name: getattr(rule, name) for name in fields}
    for name, value in fields.items():
        setattr(rule, name, value)
    rule.full_clean()
    changes = {name: [value, getattr(rule, name)] for name, value in before.items() if value != getattr(rule, name)}
    if changes:
        rule.save()
        config_touch(tenant_id=tenant_id)
        audit_record(tenant_id=tenant_id, actor=actor, action="rule.updated", target=rule, changes=changes)
    return rule


def rule_enable(*, tenant_id: str, rule: RoutingRule, actor: str = SYSTEM) -> RoutingRule:
    """Let a rule be looked at."""
    return rule_update(tenant_id=tenant_id, rule=rule, actor=actor, is_enabled=True)


def rule_disable(*, tenant_id: str, rule: RoutingRule, actor: str = SYSTEM) -> RoutingRule:
    """Keep a rule without looking at it."""
    return rule_update(tenant_id=tenant_id, rule=rule, actor=actor, is_enabled=False)


@transaction.atomic
def rule_delete(*, tenant_id: str, rule: RoutingRule, actor: str = SYSTEM) -> None:
    """Delete a rule."""
    audit_record(tenant_id=tenant_id, actor=actor, action="rule.deleted", target=rule)
    rule.delete()
    config_touch(tenant_id=tenant_id)


@transaction.atomic
def rules_reorder(*, tenant_id: str, references: Sequence[str], actor: str = SYSTEM) -> list[RoutingRule]:
    """Give every rule a priority by its place among `references`, ids or slugs of all of them; the first is highest.

    Raises:
        ValidationError: one is missing, unknown or named twice.
    """
    rules = {rule.pk: rule for rule in RoutingRule.objects.select_for_update()}
    ids = {rule.slug: rule.pk for rule in rules.values()} | {pk: pk for pk in rules}
    ordered = [ids[each] for each in references if each in ids]
    if unknown := [each for each in references if each not in ids]:
        raise ValidationError({"ids": f"There is no rule {', '.join(map(repr, unknown))}."})
    if len(set(ordered)) != len(ordered):
        raise ValidationError({"ids": "A rule stands here twice."})
    if missing := sorted(rule.slug for pk, rule in rules.items() if pk not in ordered):
        raise ValidationError({"ids": f"Name all rules; missing: {', '.join(missing)}."})
    for place, pk in enumerate(reversed(ordered), start=1):
        rule_update(tenant_id=tenant_id, rule=rules[pk], actor=actor, priority=10 * place)
    return [rules[pk] for pk in ordered]


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
