"""Channels, their credentials and their health as the management API writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels_app.channel_document import normalise_channel
from channels_app.models import Channel
from channels_app.services import Credentials
from tenants.rest.serializers import Strict


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "upstream": {"type": "string"}},
            },
        ]
    }
)
class ModelField(serializers.JSONField):
    """A model's name, or its public name with the upstream's."""


@extend_schema_field({"type": "object", "additionalProperties": {"type": "object"}})
class PricesField(serializers.JSONField):
    """Prices by the upstream's name of a model or a glob, over the public ones; amounts are decimal strings.

    `input_usd_per_mtok` and `output_usd_per_mtok`, and any of cache_read, cache_write, cache_write_1h, reasoning,
    input_audio, output_audio, input_image, output_image; `request_usd`, `web_search_usd`; `multiplier`; `from`, a date.
    """


@extend_schema_field({"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "object"}]}})
class TransformersField(serializers.JSONField):
    """Names of transformers, or {name: options}."""


class CredentialSerializer(Strict):
    """A credential: its secret goes in and never comes out."""

    slug = serializers.CharField(max_length=63, default="main")
    api_key = serializers.CharField(
        write_only=True, required=False, allow_blank=True, trim_whitespace=True, max_length=8192,
        help_text="Absent: the stored one stays.",
    )  # fmt: skip
    last_four = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


def default_timeouts() -> dict[str, float]:
    """Return what a channel waits when it says nothing."""
    return {"connect_s": 5.0, "first_byte_s": 60.0, "idle_s": 60.0, "total_s": 600.0}


class TimeoutsSerializer(Strict):
    """The longest that each wait may take, in seconds."""

    connect = serializers.FloatField(source="connect_s", default=5.0)
    first_byte = serializers.FloatField(source="first_byte_s", default=60.0)
    idle = serializers.FloatField(source="idle_s", default=60.0)
    total = serializers.FloatField(source="total_s", default=600.0)


class ChannelSerializer(Strict):
    """A channel, in the words of the configuration document."""

    id = serializers.CharField(read_only=True)
    slug = serializers.CharField(max_length=63)
    provider = serializers.CharField(max_length=60, help_text="A name from GET /api/providers.")
    format = serializers.CharField(max_length=60, default="", allow_blank=True)
    base_url = serializers.CharField(max_length=500, default="", allow_blank=True)
    api_key = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=8192,
        help_text="Short for the credential `main`; others stay as they are.",
    )  # fmt: skip
    credentials = CredentialSerializer(many=True, required=False)
    models = serializers.ListField(child=ModelField(), source="served_models", allow_empty=False)
    prices = PricesField(default=dict)
    priority = serializers.IntegerField(default=0, min_value=-(10**6), max_value=10**6, help_text="Higher first.")
    weight = serializers.IntegerField(default=1, min_value=0, max_value=10**6)
    enabled = serializers.BooleanField(source="is_enabled", default=True)
    transformers = TransformersField(default=list)  # type: ignore[arg-type]
    timeout_s = TimeoutsSerializer(source="*", default=default_timeouts)
    region = serializers.CharField(max_length=60, default="", allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=200), default=list)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    @classmethod
    def normalise(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take camelCase and older names too."""
        return normalise_channel(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the model's fields, and under `credentials` the secrets by slug where any are given."""
        values = super().to_internal_value(data)
        api_key = values.pop("api_key", "")
        given: Credentials | None = None
        if "credentials" in values:
            given = {entry["slug"]: entry.get("api_key") or None for entry in values.pop("credentials")}
        if api_key:
            stored = self.instance.credentials.all() if isinstance(self.instance, Channel) else ()
            kept = {credential.slug: None for credential in stored} if given is None else given
            given = {**kept, "main": api_key}
        return values | ({"credentials": given} if given is not None else {})


class HealthSerializer(serializers.Serializer):
    """One health check."""

    id = serializers.CharField(read_only=True)
    channel = serializers.CharField(source="channel_id", read_only=True)
    at = serializers.DateTimeField(read_only=True)
    is_up = serializers.BooleanField(read_only=True)
    status = serializers.IntegerField(read_only=True, allow_null=True, help_text="The upstream's HTTP status.")
    detail = serializers.CharField(read_only=True)
    duration_ms = serializers.FloatField(read_only=True)


class ProviderSerializer(serializers.Serializer):
    """What Routex knows about a kind of upstream."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    base_url = serializers.CharField(help_text="Used when a channel gives none; empty: a channel must give one.")
    base_url_example = serializers.CharField(help_text="What one looks like.")
    formats = serializers.ListField(child=serializers.CharField())
    operations = serializers.ListField(child=serializers.CharField())
    needs_credential = serializers.BooleanField()
    credential = serializers.CharField(help_text="What a credential is, in words.")
    has_probe = serializers.BooleanField()
