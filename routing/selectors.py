"""Every read of routing that more than one caller needs; all run in the tenant's scope."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from channels_app.selectors import models_served
from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy, RoutingRule
from tenants.engine.principal import Principal


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that may be asked for. `target` is what an alias stands for, and empty for a model."""

    name: str
    target: str
    channels: tuple[str, ...]


def models_for(*, principal: Principal) -> list[ServedModel]:
    """Return the names that this key may ask for and that somebody serves now, sorted; in the tenant's scope.

    As for a request, the key's allow-lists hold for the name that is asked and for the model and channel it leads to.
    """
    served = models_served()
    names = [ServedModel(name, "", _permitted(principal, name, slugs)) for name, slugs in served.items()]
    for alias in ModelAlias.objects.all():
        if alias.name not in served:  # a model of that name comes before an alias
            model, slugs = _resolve(served, alias.target)
            names.append(ServedModel(alias.name, alias.target, _permitted(principal, model, slugs)))
    found = [one for one in names if one.channels and principal.may_use_model(one.name)]
    return sorted(found, key=lambda one: one.name)


def _permitted(principal: Principal, model: str, slugs: list[str]) -> tuple[str, ...]:
    if not principal.may_use_model(model):
        return ()
    return tuple(slug for slug in slugs if principal.may_use_channel(slug))


def _resolve(served: dict[str, list[str]], target: str) -> tuple[str, list[str]]:
    """Return the model that an alias means, and who serves it: all, or the channel that the target names."""
    if target in served:
        return target, served[target]
    cut = min((place for place in (target.find("/"), target.find(",")) if place > 0), default=0)
    channel, model = target[:cut].strip().lower(), target[cut + 1 :].strip()
    return model, [slug for slug in served.get(model, []) if slug == channel]


def policy_get() -> RoutingPolicy:
    """Return the tenant's policy; an unsaved one with the defaults when none was set."""
    return RoutingPolicy.objects.first() or RoutingPolicy()


def rules_all() -> QuerySet[RoutingRule]:
    """Return the tenant's rules in the order in which they are looked at."""
    return RoutingRule.objects.order_by("-priority", "slug")


def aliases_by_name() -> dict[str, str]:
    """Return the tenant's aliases with their targets, by name."""
    return dict(ModelAlias.objects.order_by("name").values_list("name", "target"))


def fallbacks_by_model() -> dict[str, list[str]]:
    """Return the models to try after a model, by model."""
    return dict(ModelFallback.objects.order_by("model").values_list("model", "fallbacks"))


def backups_newest() -> list[ConfigBackup]:
    """Return the tenant's kept configuration documents, newest first."""
    return list(ConfigBackup.objects.order_by("-at", "-id"))
