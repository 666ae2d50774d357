"""The request log (written by the gateways, read here) and usage rolled up by quarter of an hour: public schema."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class RequestRecord(models.Model):
    """One gateway request. Rows are written by `analytics/engine/sink.py` alone; the table is in `record_table.py`.

    Ids are plain texts, not foreign keys: a record outlives the key and the channel that it names.
    """

    id = models.TextField(primary_key=True)
    tenant_id = models.TextField()
    key_id = models.TextField()
    key_slug = models.TextField()
    session_id = models.TextField()
    client_request_id = models.TextField()
    operation = models.TextField()
    client_format = models.TextField()
    upstream_format = models.TextField()
    asked_model = models.TextField()
    public_model = models.TextField()
    upstream_model = models.TextField()
    reported_model = models.TextField()
    channel_id = models.TextField()
    channel_slug = models.TextField()
    provider = models.TextField()
    #: A list of attempts; of each, what differs from the defaults of AttemptRecord.
    attempts = models.JSONField()
    #: Why it went where it went: what `routing/engine/decision.py` describes; of it, what differs from the defaults.
    decision = models.JSONField(default=dict)
    is_stream = models.BooleanField()
    status = models.SmallIntegerField()
    outcome = models.TextField()
    error_code = models.TextField()
    error_message = models.TextField()
    #: Tokens are None when the answer did not say how many.
    input_tokens = models.IntegerField(null=True)
    output_tokens = models.IntegerField(null=True)
    cache_read_tokens = models.IntegerField(null=True)
    cache_write_tokens = models.IntegerField(null=True)
    reasoning_tokens = models.IntegerField(null=True)
    #: The rare kinds of tokens, by the names of analytics.engine.record.Usage, and `is_estimated`.
    usage_details = models.JSONField()
    #: None when nobody knows the price, or what was used; then `price_version` is empty.
    cost_nano_usd = models.BigIntegerField(null=True)
    price_version = models.TextField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    #: When the database took the row: what live pages and roll-ups go by.
    recorded_at = models.DateTimeField()
    queue_ms = models.FloatField()
    connect_ms = models.FloatField()
    first_token_ms = models.FloatField(null=True)
    total_ms = models.FloatField()
    request_bytes = models.BigIntegerField()
    response_bytes = models.BigIntegerField()
    client_address = models.TextField()
    user_agent = models.TextField()
    #: What translation could not carry whole, comma between.
    warnings = models.TextField()

    class Meta:
        managed = False
        db_table = "analytics_requestrecord"
        ordering: ClassVar[list[str]] = ["-started_at", "-id"]

    def __str__(self) -> str:
        return self.id


class UsageQuarter(models.Model):
    """What a tenant used in a quarter of an hour (UTC, by start of the request) through one channel, model and key.

    Always recomputed whole from the request log, so it may be read and written again without counting twice.
    """

    pk = models.CompositePrimaryKey("tenant_id", "bucket_at", "channel_id", "model", "key_id")
    tenant_id = models.TextField(db_collation="C")
    bucket_at = models.DateTimeField()
    channel_id = models.TextField(db_collation="C", help_text="Empty when no channel was reached.")
    model = models.TextField(
        db_collation="C", help_text="Public model name; empty when the request named none that exists."
    )
    key_id = models.TextField(db_collation="C")
    requests = models.BigIntegerField()
    errors = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    cost_nano_usd = models.BigIntegerField(default=0, help_text="Sum over the requests whose cost is known.")
    unpriced = models.BigIntegerField(default=0, help_text="How many requests were answered at an unknown cost.")
    total_ms = models.FloatField(help_text="Sum over the requests.")
    first_token_ms = models.FloatField(help_text="Sum over the requests that got a first token.")
    first_tokens = models.BigIntegerField(help_text="How many requests got a first token.")

    class Meta:
        ordering: ClassVar[list[str]] = ["bucket_at"]

    def __str__(self) -> str:
        return f"{self.bucket_at:%Y-%m-%d %H:%M} {self.model}: {self.requests}"


class PriceBook(models.Model):
    """Public prices, resolved once (analytics.public_prices) and read by every gateway; the same for all tenants."""

    version = models.CharField(primary_key=True, max_length=100)
    #: Which package, resolved how; tells without resolving whether there may be anything new.
    source = models.CharField(max_length=100)
    #: What analytics.engine.price_book reads.
    body = models.BinaryField()
    in_force_since = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-in_force_since"]

    def __str__(self) -> str:
        return self.version


class RollUpMark(models.Model):
    """Up to where the request log has been rolled up, in the database's time of recording."""

    name = models.CharField(primary_key=True, max_length=40)
    recorded_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} up to {self.recorded_at}"
