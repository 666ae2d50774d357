"""Every read of routing that more than one caller needs; all run in the tenant's scope."""

from __future__ import annotations

from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy


def policy_get() -> RoutingPolicy:
    """Return the tenant's policy; an unsaved one with the defaults when none was set."""
    return RoutingPolicy.objects.first() or RoutingPolicy()


def aliases_by_name() -> dict[str, str]:
    """Return the tenant's aliases with their targets, by name."""
    return dict(ModelAlias.objects.order_by("name").values_list("name", "target"))


def fallbacks_by_model() -> dict[str, list[str]]:
    """Return the models to try after a model, by model."""
    return dict(ModelFallback.objects.order_by("model").values_list("model", "fallbacks"))


def backups_newest() -> list[ConfigBackup]:
    """Return the tenant's kept configuration documents, newest first."""
    return list(ConfigBackup.objects.order_by("-at", "-id"))
