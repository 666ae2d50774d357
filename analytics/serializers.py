"""Requests and sessions as the management API writes them."""

from __future__ import annotations

from rest_framework import serializers

from analytics.models import RequestRecord, SessionPin


class RequestSerializer(serializers.ModelSerializer[RequestRecord]):
    """One gateway request. Tokens are null when the answer did not say how many, the cost when nobody knows it."""

    cost_usd = serializers.CharField(read_only=True, allow_null=True, help_text="A decimal string, exact.")
    usage_details = serializers.DictField(
        read_only=True, help_text="Kinds of tokens that few requests have; `is_estimated` where nobody counted."
    )

    class Meta:
        model = RequestRecord
        fields = (
            *("id", "started_at", "finished_at", "outcome", "status", "error_code", "error_message"),
            *("asked_model", "public_model", "upstream_model", "reported_model"),
            *("channel_id", "channel_slug", "provider", "key_id", "key_slug", "session_id", "client_request_id"),
            *("operation", "client_format", "upstream_format", "warnings", "is_stream", "attempts", "decision"),
            *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            *("usage_details", "cost_usd", "price_version"),
            *("queue_ms", "connect_ms", "first_token_ms", "total_ms", "request_bytes", "response_bytes"),
            *("client_address", "user_agent"),
        )
        read_only_fields = fields


class SessionSerializer(serializers.ModelSerializer[SessionPin]):
    """Where a conversation stays."""

    class Meta:
        model = SessionPin
        fields = (
            *("id", "session", "model", "channel_id", "credential", "cached_tokens"),
            *("begun_at", "used_at", "expires_at"),
        )
        read_only_fields = fields
