"""Rules as the management API writes them, and what goes into and comes out of a trial of a translation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from routing.rule_checks import normalise_rule
from tenants.rest.serializers import Strict


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ConditionField(serializers.JSONField):
    """Condition name → what it asks for."""


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class TargetField(serializers.JSONField):
    """One or more of channel, provider, tag and model."""


class RuleSerializer(Strict):
    """A routing rule, in the words of the configuration document."""

    id = serializers.CharField(read_only=True)
    slug = serializers.CharField(max_length=63)
    type = serializers.CharField(max_length=20, default="custom")
    condition = ConditionField(default=dict, help_text="All of it must hold; see the documentation of rules.")
    targets = serializers.ListField(child=TargetField(), default=list, help_text="Tried in this order.")
    priority = serializers.IntegerField(default=0, min_value=-(10**6), max_value=10**6, help_text="Higher first.")
    enabled = serializers.BooleanField(source="is_enabled", default=True)
    description = serializers.CharField(max_length=500, default="", allow_blank=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    @classmethod
    def normalise(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take camelCase and older names too."""
        return normalise_rule(data)


class OrderSerializer(Strict):
    """Every rule by id or slug, the highest priority first."""

    ids = serializers.ListField(child=serializers.CharField(max_length=63), max_length=500)


class TransformerSerializer(serializers.Serializer):
    """A transformer, or a format that requests and answers are translated between."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["transformer", "format"])
    summary = serializers.CharField()
    options = serializers.JSONField(help_text="JSON Schema of its options; null for a format.", allow_null=True)
    clients = serializers.BooleanField(help_text="Clients may speak it (formats).")


class TrialSerializer(Strict):
    """A request to be translated, or an upstream's answer to it, whole or as a raw stream."""

    request = serializers.JSONField(
        required=False, help_text="A request in the format `from`; beside `response` or `stream`, the one they answer."
    )
    response = serializers.JSONField(required=False, help_text="A whole answer in the format `to`.")
    stream = serializers.CharField(
        required=False, trim_whitespace=False, help_text="An answer in the format `to` as its stream's raw text."
    )
    direction = serializers.ChoiceField(
        choices=["request", "response"], required=False, help_text="`response`: `request` holds a whole answer."
    )
    transformer = serializers.JSONField(required=False, help_text="A name, {name: options}, or a list of these.")
    model = serializers.CharField(required=False, help_text="The upstream's model; the request's own by default.")
    provider = serializers.CharField(required=False, help_text="Whose limits count; the format's inventor by default.")

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the two that Python keeps for itself."""
        ends = {
            "from": serializers.CharField(required=False, help_text="The client's format."),
            "to": serializers.CharField(required=False, help_text="The upstream's format."),
        }
        return super().get_fields() | ends


class RoutingTrialSerializer(Strict):
    """A request as a client would send it."""

    request = serializers.JSONField(help_text="The body.")
    path = serializers.CharField(
        required=False, max_length=500, help_text="Where it is sent, such as /v1/messages; guessed from the body."
    )
    key = serializers.CharField(
        required=False, max_length=63, help_text="Slug or id of the key that sends it; by default one that may do all."
    )
    headers = serializers.DictField(child=serializers.CharField(max_length=2000), required=False)
    client_address = serializers.IPAddressField(
        required=False, help_text="Where it comes from: for ip_hash, and for keys that are limited to networks."
    )


class RehearsedSerializer(serializers.Serializer):
    """What would become of the request now."""

    object = serializers.CharField()
    request_id = serializers.CharField()
    channel = serializers.CharField(help_text="The channel of the first try; empty when there would be none.")
    model = serializers.CharField(help_text="The upstream's name of the model.")
    upstream_format = serializers.CharField()
    decision = serializers.JSONField(help_text="Rules, candidates, limits and quotas with what was measured.")
    error = serializers.JSONField(help_text="{status, code, message, retry_after_s}, or null.", allow_null=True)
    unsure = serializers.ListField(
        child=serializers.CharField(), help_text="What it depends on that only the real request finds out."
    )


class ReplaySerializer(Strict):
    """Which recorded requests to judge again, and by which rules."""

    since = serializers.DateTimeField(help_text="Requests that began then or later.")
    until = serializers.DateTimeField(required=False, help_text="And before then; now by default.")
    rules = serializers.ListField(
        child=serializers.DictField(), required=False, max_length=500,
        help_text="Draft rules, each as POST /api/routing/rules takes it; the rules of now where it is left out.",
    )  # fmt: skip
    limit = serializers.IntegerField(default=1000, min_value=1, max_value=5000, help_text="Requests of one step.")
    after = serializers.CharField(default="", allow_blank=True, help_text="`next` of the step before.")


class ReplayedSerializer(serializers.Serializer):
    """What one step found; the next one begins `after` its `next`, the last one has none."""

    looked_at = serializers.IntegerField()
    unknown = serializers.DictField(
        child=serializers.IntegerField(), help_text="Requests whose records lack what rules ask, by what they lack."
    )
    strategy = serializers.CharField(help_text="The strategy of now, which chose among each rule's channels.")
    stayed = serializers.IntegerField(help_text="Requests that rules and strategy may still send where they went.")
    among_equals = serializers.IntegerField(
        help_text="Of these, how many only as one of several that may be first: what the strategy goes by is not kept."
    )
    moved = serializers.IntegerField()
    by_rule = serializers.DictField(child=serializers.IntegerField(), help_text="Rule → requests that it decides.")
    before_usd = serializers.CharField(help_text="What those cost that are known and priced both ways.")
    after_usd = serializers.CharField(help_text="What they would have cost.")
    unpriced = serializers.IntegerField()
    requests = serializers.ListField(child=serializers.JSONField(), help_text="The first hundred that move.")
    next = serializers.CharField()


class TriedSerializer(serializers.Serializer):
    """Both bodies, what differs, and what is lost."""

    input = serializers.JSONField(help_text="The body that was given; text for a stream.")
    output = serializers.JSONField(help_text="What becomes of it; text for a stream.")
    headers = serializers.DictField(child=serializers.CharField(), help_text="Headers that go with a request.")
    changes = serializers.ListField(child=serializers.JSONField(), help_text="{path, what, before, after}; 200 at most")
    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="dropped:…, emulated:… and clamped:…, as in x-routex-warnings."
    )
    lost = serializers.ListField(child=serializers.CharField(), help_text="The names of what was dropped.")
