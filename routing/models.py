"""RoutingRule, RoutingPolicy, ModelAlias, ModelFallback, ConfigBackup: in each tenant's schema."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.timezone import now

from channels_app.selectors import models_served
from routing.rule_checks import clean_rule
from tenants.models import IdField, SlugField


class RoutingRule(models.Model):
    """When its conditions hold, and its target can serve, the rule says who answers; the highest priority is first."""

    id = IdField("rul")
    slug = SlugField(unique=True)
    # No `choices`: a new type must not need a migration.
    type = models.CharField(max_length=20, default="custom")
    condition = models.JSONField(default=dict, blank=True, help_text="All of it must hold.")
    targets = models.JSONField(default=list, blank=True, help_text="Tried in this order.")
    priority = models.IntegerField(default=0, help_text="Higher is looked at first.")
    is_enabled = models.BooleanField(default=True)
    description = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-priority", "slug"]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Normalise condition and targets; raise ValidationError with all that is wrong, by field."""
        self.condition, self.targets = clean_rule(type=self.type, condition=self.condition, targets=self.targets)


class RoutingPolicy(models.Model):
    """How a tenant's requests are tried: strategy, retry budget, breaker, cooldown. One row."""

    id = IdField("pol")
    # One row per schema: the constraint refuses a second.
    singleton = models.BooleanField(default=True, unique=True, editable=False)
    strategy = models.CharField(max_length=60, default="priority")
    attempts = models.PositiveSmallIntegerField(default=3, help_text="Tries in all, before the answer begins.")
    retry_total_s = models.FloatField(default=120.0, help_text="Seconds after which no further try begins.")
    breaker_failures = models.PositiveSmallIntegerField(default=5, help_text="Failures in a row that open the breaker.")
    breaker_open_s = models.FloatField(default=60.0, help_text="Seconds until an open breaker lets one request try.")
    has_cooldown = models.BooleanField(
        default=True, help_text="Rest a credential that the upstream refused or limited."
    )
    session_ttl_s = models.PositiveIntegerField(default=18_000)
    is_session_enabled = models.BooleanField(default=True)
    is_session_sticky = models.BooleanField(default=True)
    session_cleanup_interval_s = models.PositiveIntegerField(default=300)

    class Meta:
        verbose_name_plural = "routing policies"

    def __str__(self) -> str:
        return f"{self.strategy}, {self.attempts} attempts"


class ModelAlias(models.Model):
    """Another name for a model."""

    name = models.CharField(max_length=200, primary_key=True)
    target = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "model aliases"
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return f"{self.name} → {self.target}"

    def clean(self) -> None:
        """Refuse an alias of an alias: names are read once, so it would lead nowhere. A model of that name is meant."""
        others, served = ModelAlias.objects.exclude(name=self.name), models_served()
        if self.target not in served and others.filter(name=self.target).exists():
            raise ValidationError(
                {"target": f"`{self.target}` is an alias itself. Name what it stands for: a model or `channel/model`."}
            )
        if self.name not in served and (other := others.filter(target=self.name).first()) is not None:
            raise ValidationError(
                {"name": f"Alias `{other.name}` stands for `{self.name}`, and an alias cannot stand for another one."}
            )


class ModelFallback(models.Model):
    """Models to try, in order, when every channel of a model failed."""

    model = models.CharField(max_length=200, primary_key=True)
    fallbacks = models.JSONField(default=list)

    class Meta:
        ordering: ClassVar[list[str]] = ["model"]

    def __str__(self) -> str:
        return f"{self.model} → {', '.join(self.fallbacks)}"


class ConfigBackup(models.Model):
    """A tenant's configuration document at one moment, without secrets; the newest ten are kept."""

    id = IdField("bak")
    at = models.DateTimeField(default=now)
    reason = models.CharField(max_length=200, default="nightly")
    document = models.TextField()

    class Meta:
        ordering: ClassVar[list[str]] = ["-at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.reason}"
