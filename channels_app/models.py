"""Channel, UpstreamCredential, ChannelHealth: in each tenant's schema."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.timezone import now

from channels_app import channel_checks as checks
from tenants.models import IdField, SlugField


class Channel(models.Model):
    """One configured way to reach a provider: base URL, models, priority and weight."""

    id = IdField("chn")
    slug = SlugField(unique=True)
    # No `choices`: the registry decides, and a new provider must not need a migration.
    provider = models.CharField(max_length=60)
    format = models.CharField(
        max_length=60, blank=True, help_text="The format to speak upstream; empty = the client's."
    )
    base_url = models.CharField(max_length=500, blank=True, help_text="Empty = the provider's own.")
    served_models = models.JSONField(default=list, help_text='Names, or {"name": public, "upstream": theirs}.')
    prices = models.JSONField(default=dict, blank=True)
    priority = models.IntegerField(default=0, help_text="Higher is tried first.")
    weight = models.PositiveIntegerField(default=1)
    is_enabled = models.BooleanField(default=True)
    transformers = models.JSONField(default=list, blank=True)
    connect_s = models.FloatField(default=5.0)
    first_byte_s = models.FloatField(default=60.0)
    idle_s = models.FloatField(default=60.0)
    total_s = models.FloatField(default=600.0)
    region = models.CharField(max_length=60, blank=True)
    tags = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-priority", "slug"]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Normalise every field; raise ValidationError with all that is wrong, by field."""
        for name, value in checks.clean_channel({name: getattr(self, name) for name in checks.FIELDS}).items():
            setattr(self, name, value)


class UpstreamCredential(models.Model):
    """One credential of a channel, sealed; several make a pool."""

    id = IdField("crd")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="credentials")
    slug = SlugField(default="main")
    sealed = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, editable=False, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["created_at", "slug"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["channel", "slug"], name="credential_slug")]

    def __str__(self) -> str:
        return f"{self.slug} …{self.last_four}"


class ChannelHealth(models.Model):
    """One health check of a channel."""

    id = IdField("hlt")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="health_checks")
    at = models.DateTimeField(default=now, db_index=True)
    is_up = models.BooleanField()
    status = models.PositiveSmallIntegerField(null=True)
    detail = models.CharField(max_length=500, blank=True)
    duration_ms = models.FloatField(default=0)

    class Meta:
        verbose_name = "health check"
        ordering: ClassVar[list[str]] = ["-at"]
        indexes: ClassVar = [models.Index(fields=["channel", "-at"])]

    def __str__(self) -> str:
        return f"{self.channel_id} {'up' if self.is_up else 'down'} {self.at:%Y-%m-%d %H:%M}"
