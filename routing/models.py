"""RoutingPolicy, ModelAlias, ModelFallback, ConfigBackup: in each tenant's schema."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.timezone import now

from tenants.models import IdField


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
