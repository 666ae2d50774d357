"""Keys, limits, quotas and tenants as the management API writes them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import zoneinfo
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.engine.money import MAX_NANO, nano_usd, usd_text
from tenants.engine.networks import written_networks
from tenants.models import KeyState, Limit, LimitScope, Quota, QuotaScope, Scope, Tenant, everything
from tenants.rest.serializers import Strict
from tenants.selectors import QuotaStanding, quota_standings

MAX_WINDOW_S = 86_400


class KeySerializer(Strict):
    """A gateway key. Its secret is answered once, when it is made."""

    id = serializers.CharField(read_only=True)
    slug = serializers.CharField(max_length=63)
    secret = serializers.CharField(
        write_only=True, required=False, max_length=100,
        help_text="A key of your own in the form rtx_… with a right checksum; absent: one is made.",
    )  # fmt: skip
    prefix = serializers.CharField(read_only=True)
    last_four = serializers.CharField(read_only=True)
    state = serializers.ChoiceField(KeyState.choices, default=KeyState.ACTIVE)
    models = serializers.ListField(
        child=serializers.CharField(max_length=200), source="allowed_models", default=everything, allow_empty=False
    )
    channels = serializers.ListField(
        child=serializers.CharField(max_length=200), source="allowed_channels", default=everything, allow_empty=False
    )
    allowed_ips = serializers.ListField(
        child=serializers.CharField(max_length=64), default=list,
        help_text="Networks such as 10.0.0.0/8 and addresses that the key may be used from; empty: everywhere.",
    )  # fmt: skip
    tags = serializers.DictField(child=serializers.CharField(max_length=200, allow_blank=True), default=dict)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)

    @classmethod
    def normalise(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take the stored names of the allow-lists too, and the configuration document's name of the networks."""
        names = {"allowed_models": "models", "allowed_channels": "channels", "ips": "allowed_ips"}
        return {names.get(name, name): value for name, value in data.items()}

    def validate_allowed_ips(self, value: list[str]) -> list[str]:
        """Take networks only, in the form in which they are stored."""
        try:
            return written_networks(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class NewKeySerializer(KeySerializer):
    """A key that was just made, with its secret."""

    secret = serializers.CharField(read_only=True, help_text="Shown this once.")


class _Scoped(Strict):
    """What limits and quotas share: what they are counted for."""

    id = serializers.CharField(read_only=True)
    scope = serializers.ChoiceField(Scope.choices, default=Scope.TENANT)
    scope_id = serializers.CharField(
        max_length=63, default="", allow_blank=True, help_text="Id or slug of the key or channel; empty for the tenant."
    )


class LimitSerializer(_Scoped):
    """How fast: requests or tokens in a window, or requests at once."""

    scope = serializers.ChoiceField(LimitScope.choices, default=LimitScope.TENANT)
    scope_id = serializers.CharField(
        max_length=200, default="", allow_blank=True,
        help_text="Id or slug of the key or channel, or a pattern of model names such as gpt-*; empty for the tenant.",
    )  # fmt: skip
    kind = serializers.ChoiceField(Limit.Kind.choices)
    algorithm = serializers.CharField(
        max_length=30, default="sliding_window",
        help_text="sliding_window, token_bucket, leaky_bucket, warm_up or adaptive; concurrency has only its own.",
    )  # fmt: skip
    limit = serializers.IntegerField(min_value=0, max_value=MAX_NANO)
    window_s = serializers.IntegerField(
        min_value=1, max_value=MAX_WINDOW_S, default=60, help_text="Always 60 for concurrency, which has no window."
    )
    options = serializers.DictField(
        default=dict, help_text='The algorithm\'s own, such as {"burst": 20}, and on_outage: local or closed.'
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Give concurrency one window, so that there is one limit of it per scope."""
        return attrs | {"window_s": 60} if attrs["kind"] == Limit.Kind.CONCURRENCY else attrs


@extend_schema_field(
    {
        "oneOf": [{"type": "string", "pattern": r"^\d+(\.\d{1,9})?$"}, {"type": "integer", "minimum": 0}],
        "description": 'USD as a decimal string such as "50.00"; tokens and requests as an integer.',
    }
)
class AmountField(serializers.Field):
    """An amount whose form depends on the kind; the serializer brings the two together."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the amount as it is written; no float passes."""
        if isinstance(data, bool) or not isinstance(data, str | int):
            raise serializers.ValidationError('Write an amount of USD as a string, for example "50.00".')
        return data

    def to_representation(self, value: Any) -> Any:
        """Return the amount as it is; the serializer knows the kind."""
        return value


class _QuotaList(serializers.ListSerializer):
    """A page of quotas, whose standings are read all at once."""

    def to_representation(self, data: Any) -> Any:
        """Return the quotas as the API tells them."""
        rows = list(data)
        zone = self.context["view"].caller.tenant.timezone
        self.child.standings = quota_standings(quotas=rows, zone=zone)  # type: ignore[union-attr]
        return super().to_representation(rows)


class QuotaSerializer(_Scoped):
    """How much per calendar window of the tenant's time zone, and how much of the present one is used."""

    scope = serializers.ChoiceField(QuotaScope.choices, default=QuotaScope.TENANT)
    scope_id = serializers.CharField(
        max_length=200, default="", allow_blank=True,
        help_text="Id or slug of the key or channel, `name=value` of keys' tags; empty for the tenant.",
    )  # fmt: skip
    kind = serializers.ChoiceField(Quota.Kind.choices)
    amount = AmountField()
    window = serializers.ChoiceField(Quota.Window.choices, default=Quota.Window.MONTH)
    used = serializers.SerializerMethodField()
    left = serializers.SerializerMethodField()
    resets_at = serializers.SerializerMethodField()

    class Meta:
        list_serializer_class = _QuotaList

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.standings: dict[str, QuotaStanding] = {}

    @extend_schema_field(AmountField)
    def get_used(self, row: Quota) -> str | int:
        """Return what finished requests took in the present window."""
        return quota_amount(row, self._standing(row).used)

    @extend_schema_field(AmountField)
    def get_left(self, row: Quota) -> str | int:
        """Return what is left of it."""
        return quota_amount(row, self._standing(row).left)

    def get_resets_at(self, row: Quota) -> dt.datetime | None:
        """Return when the next window begins; null for a quota that never resets."""
        return self._standing(row).resets_at

    def _standing(self, row: Quota) -> QuotaStanding:
        if row.pk not in self.standings:
            zone = self.context["view"].caller.tenant.timezone
            self.standings = quota_standings(quotas=[row], zone=zone)
        return self.standings[row.pk]

    @classmethod
    def normalise(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take the configuration document's form too: {"usd": "50.00", "window": "month"}."""
        ours = dict(data)
        for kind in Quota.Kind.values:
            if kind in ours:
                ours |= {"kind": kind, "amount": ours.pop(kind)}
        return ours

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Bring the amount into the integer that is stored."""
        try:
            attrs["amount"] = _stored_amount(attrs["kind"], attrs["amount"])
        except ValueError as error:
            raise serializers.ValidationError({"amount": str(error)}) from None
        return attrs

    def to_representation(self, instance: Quota) -> dict[str, Any]:
        """Return the quota with its amount as people write it."""
        data: dict[str, Any] = super().to_representation(instance)
        return data | {"amount": quota_amount(instance, instance.amount)}


def quota_amount(quota: Quota, amount: int) -> str | int:
    """Return an amount of a quota as people write it: money as a decimal text."""
    return usd_text(amount) if quota.kind == Quota.Kind.USD else amount


def _stored_amount(kind: str, amount: str | int) -> int:
    if kind == Quota.Kind.USD:
        return nano_usd(amount)
    if not isinstance(amount, int) or not 0 <= amount <= MAX_NANO:
        raise ValueError(f"An amount of {kind} is a whole number from 0.")
    return amount


class TenantSerializer(Strict):
    """A tenant."""

    id = serializers.CharField(read_only=True)
    slug = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=200)
    state = serializers.ChoiceField(Tenant.State.choices, default=Tenant.State.ACTIVE)
    suspended_reason = serializers.CharField(max_length=500, default="", allow_blank=True)
    timezone = serializers.CharField(max_length=63, default="UTC")
    private_upstreams = serializers.ListField(child=serializers.CharField(max_length=64), default=list)
    tags = serializers.DictField(child=serializers.CharField(max_length=200, allow_blank=True), default=dict)
    created_at = serializers.DateTimeField(read_only=True)

    def validate_timezone(self, value: str) -> str:
        """Take names of the time zone database only."""
        if value not in zoneinfo.available_timezones():
            raise serializers.ValidationError(f"{value!r} is no time zone; write for example Europe/Berlin.")
        return value

    def validate_private_upstreams(self, value: list[str]) -> list[str]:
        """Take address ranges only, in their usual form."""
        try:
            return [str(ipaddress.ip_network(text, strict=False)) for text in value]
        except ValueError as error:
            raise serializers.ValidationError(f"{error}; write ranges such as 10.0.0.0/8.") from None
