"""Requests as the management API writes them."""

from __future__ import annotations

from rest_framework import serializers

from analytics.models import RequestRecord


class RequestSerializer(serializers.ModelSerializer[RequestRecord]):
    """One gateway request. Tokens are null when the answer did not say how many."""

    class Meta:
        model = RequestRecord
        fields = (
            *("id", "started_at", "finished_at", "outcome", "status", "error_code", "error_message"),
            *("asked_model", "public_model", "upstream_model", "reported_model"),
            *("channel_id", "channel_slug", "provider", "key_id", "key_slug", "session_id", "client_request_id"),
            *("operation", "client_format", "upstream_format", "warnings", "is_stream", "attempts", "decision"),
            *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            *("queue_ms", "connect_ms", "first_token_ms", "total_ms", "request_bytes", "response_bytes"),
            *("client_address", "user_agent"),
        )
        read_only_fields = fields
