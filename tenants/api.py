"""DRF: /api/keys, /api/limits, /api/quotas, /api/tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import services
from tenants.engine.ids import is_id
from tenants.filters import KeyFilter, LimitFilter, QuotaFilter, TenantFilter
from tenants.models import GatewayKey, KeyState, Limit, LimitScope, Quota, QuotaScope, Scope, Tenant
from tenants.problems import Problem
from tenants.rest.resources import Creating, Deleting, Listing, Patching, Reading
from tenants.serializers import KeySerializer, LimitSerializer, NewKeySerializer, QuotaSerializer, TenantSerializer

Counted = TypeVar("Counted", Limit, Quota)


class Keys(Listing, Reading, Creating, Patching, Deleting):
    """Gateway keys. Deleting one revokes it: it stays in the list, and is refused for good."""

    queryset = GatewayKey.objects.all()
    serializer_class = KeySerializer
    filterset_class = KeyFilter
    noun = "key"
    id_prefix = "key"
    pointers = {"allowed_models": "/models", "allowed_channels": "/channels", "digest": "/secret"}

    def get_queryset(self) -> QuerySet[GatewayKey]:
        """Return the tenant's keys."""
        return GatewayKey.objects.filter(tenant_id=self.tenant_id)

    @extend_schema(responses={201: NewKeySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a key; this answer is the only one that holds its secret."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if values.pop("state") != KeyState.ACTIVE:
            raise ValidationError({"state": ValidationError("A new key is active.", code="invalid")})
        try:
            key, secret = services.key_issue(tenant_id=self.tenant_id, actor=self.caller.actor, **values)
        except ValueError as error:
            raise ValidationError({"secret": ValidationError(str(error), code="invalid")}) from None
        return self.answer(key, status=201, secret=secret)

    def update_object(self, found: GatewayKey, values: dict[str, Any]) -> GatewayKey:
        """Change a key."""
        if values.pop("secret", None):
            raise ValidationError({"secret": ValidationError("A key's secret never changes.", code="invalid")})
        changed = {name: value for name, value in values.items() if getattr(found, name) != value}
        if not changed:
            return found
        try:
            return services.key_update(key=found, actor=self.caller.actor, **changed)
        except ValueError as error:
            raise Problem("conflict", str(error)) from None

    def delete_object(self, found: GatewayKey) -> None:
        """Revoke a key."""
        if found.state != KeyState.REVOKED:
            services.key_revoke(key=found, actor=self.caller.actor)


class _Countings(Listing, Reading, Creating, Patching, Deleting, Generic[Counted]):
    """What limits and quotas share: identified by what they count, so only the amount changes."""

    has_slug = False
    sort_fields = ("id", "scope", "kind")
    default_sort = "id"
    model: type[Counted]
    identity: tuple[str, ...]

    def get_queryset(self) -> QuerySet[Counted]:
        """Return the tenant's rows."""
        return self.model._default_manager.filter(tenant_id=self.tenant_id)

    def scope_target(self, scope: str, reference: str) -> str | None:
        """Return the id of what a scope and an id or slug mean, or None; a model's pattern means itself."""
        if scope == LimitScope.MODEL:
            return reference
        if scope != Scope.KEY:
            return None
        where = Q(pk=reference) if is_id(reference, "key") else Q(slug=reference)
        key = GatewayKey.objects.filter(where, tenant_id=self.tenant_id).first()
        return key.pk if key else None

    def create_object(self, values: dict[str, Any]) -> Counted:
        """Create it unless it is there already."""
        values["scope_id"] = self._target(values["scope"], values["scope_id"])
        same = self.get_queryset().filter(**{name: values[name] for name in self.identity}).first()
        if same is not None:
            raise Problem("conflict", f"This {self.noun} exists: {same.pk}. Change it with PATCH.")
        return self.store(values)

    def update_object(self, found: Counted, values: dict[str, Any]) -> Counted:
        """Change how much it allows."""
        if values["scope_id"] != found.scope_id:
            values["scope_id"] = self._target(values["scope"], values["scope_id"])
        for name in self.identity:
            if values[name] != getattr(found, name):
                text = f"A {self.noun} is counted by this. Delete it and create another."
                raise ValidationError({name: ValidationError(text, code="fixed")})
        return found if self._is_same(found, values) else self.store(values)

    def _is_same(self, found: Counted, values: dict[str, Any]) -> bool:
        return all(getattr(found, name) == value for name, value in values.items())

    def store(self, values: dict[str, Any]) -> Counted:
        """Write it through its service."""
        raise NotImplementedError

    def _target(self, scope: str, reference: str) -> str:
        if scope == Scope.TENANT:
            if reference:
                raise ValidationError(
                    {"scope_id": ValidationError("Leave scope_id empty: the tenant itself is meant.", code="invalid")}
                )
            return ""
        target = self.scope_target(scope, reference) if reference else None
        if target is None:
            text = f"There is no {scope} {reference!r}. Give the id or slug of one."
            if scope == QuotaScope.TAG:
                text = "Write the tag that keys must have as name=value, such as team=core."
            raise ValidationError({"scope_id": ValidationError(text, code="not-found")})
        return target


class Limits(_Countings[Limit]):
    """Limits: how fast."""

    queryset = Limit.objects.all()
    model = Limit
    serializer_class = LimitSerializer
    filterset_class = LimitFilter
    noun = "limit"
    id_prefix = "lim"
    identity = ("scope", "scope_id", "kind", "window_s")

    def store(self, values: dict[str, Any]) -> Limit:
        """Set the limit."""
        return services.limit_set(tenant_id=self.tenant_id, actor=self.caller.actor, **values)

    def delete_object(self, found: Limit) -> None:
        """Take the limit away."""
        services.limit_delete(limit=found, actor=self.caller.actor)


class Quotas(_Countings[Quota]):
    """Quotas: how much per calendar window."""

    queryset = Quota.objects.all()
    model = Quota
    serializer_class = QuotaSerializer
    filterset_class = QuotaFilter
    noun = "quota"
    id_prefix = "quo"
    identity = ("scope", "scope_id", "kind", "window")

    def scope_target(self, scope: str, reference: str) -> str | None:
        """Return the id of what a scope and an id or slug mean, or None; a tag means itself."""
        if scope == QuotaScope.TAG:
            name, sign, value = (part.strip() for part in reference.partition("="))
            return f"{name}={value}" if name and sign else None
        return super().scope_target(scope, reference)

    def etag(self, representation: Mapping[str, Any]) -> str:
        """Return the name of this version of a quota: what is used of it is no change of its own."""
        moving = {"used", "left", "resets_at"}
        return super().etag({name: value for name, value in representation.items() if name not in moving})

    def store(self, values: dict[str, Any]) -> Quota:
        """Set the quota."""
        return services.quota_set(tenant_id=self.tenant_id, actor=self.caller.actor, **values)

    def delete_object(self, found: Quota) -> None:
        """Take the quota away."""
        services.quota_delete(quota=found, actor=self.caller.actor)


class Tenants(Listing, Reading, Creating, Patching):
    """Tenants. The platform sees and makes all; a tenant sees itself and may change its name, time zone and tags."""

    queryset = Tenant.objects.all()
    serializer_class = TenantSerializer
    filterset_class = TenantFilter
    noun = "tenant"
    id_prefix = "ten"
    needs_tenant = False
    sort_fields = ("slug", "name", "created_at")
    own_fields = frozenset({"name", "timezone", "tags"})

    def get_queryset(self) -> QuerySet[Tenant]:
        """Return what the caller may know of: this table is not under row security."""
        tenant = self.caller.tenant
        rows: QuerySet[Tenant] = Tenant.objects.all()
        return rows if tenant is None else rows.filter(pk=tenant.pk)

    def create_object(self, values: dict[str, Any]) -> Tenant:
        """Create a tenant with its schema."""
        if self.caller.tenant is not None:
            raise Problem("forbidden", "Only the platform makes tenants: use a platform token and name no tenant.")
        return services.tenant_create(actor=self.caller.actor, **values)

    def update_object(self, found: Tenant, values: dict[str, Any]) -> Tenant:
        """Change a tenant."""
        changed = {name: value for name, value in values.items() if getattr(found, name) != value}
        reserved = sorted(set(changed) - self.own_fields)
        if reserved and not self.caller.is_platform:
            raise Problem("forbidden", f"Only the platform changes a tenant's {', '.join(reserved)}.")
        return services.tenant_update(tenant=found, actor=self.caller.actor, **changed) if changed else found
