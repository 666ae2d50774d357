"""DRF: /api/channels with health and tests, /api/providers, and limits and quotas that may be on a channel."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import health, services
from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from channels_app.filters import ChannelFilter
from channels_app.models import Channel
from channels_app.selectors import channel_by_reference, channels_all, health_of
from channels_app.serializers import ChannelSerializer, HealthSerializer, ProviderSerializer
from tenants.api import Limits, Quotas
from tenants.models import Scope
from tenants.problems import Problem
from tenants.rest.paging import envelope
from tenants.rest.resources import Creating, Deleting, Listing, Patching, Reading, Resource

#: How many channels one call may test while its caller waits.
MAX_TESTS = 200


class Channels(Listing, Reading, Creating, Patching, Deleting):
    """Channels: the configured ways to reach a provider."""

    queryset = Channel.objects.all()
    serializer_class = ChannelSerializer
    filterset_class = ChannelFilter
    noun = "channel"
    id_prefix = "chn"
    sort_fields = ("slug", "priority", "provider", "created_at", "updated_at")
    default_sort = "-priority"
    pointers = {
        "served_models": "/models",
        "is_enabled": "/enabled",
        **{f"{wait}_s": f"/timeout_s/{wait}" for wait in ("connect", "first_byte", "idle", "total")},
    }

    def get_queryset(self) -> QuerySet[Channel]:
        """Return the tenant's channels."""
        return channels_all()

    def query_parameters(self) -> list[str]:
        """Take paging for the health history too."""
        return ["limit", "after", "before", "sort"] if self.action == "health" else super().query_parameters()

    def create_object(self, values: dict[str, Any]) -> Channel:
        """Create a channel."""
        return self._again(services.channel_create(tenant_id=self.tenant_id, actor=self.caller.actor, **values))

    def update_object(self, found: Channel, values: dict[str, Any]) -> Channel:
        """Change a channel."""
        services.channel_update(tenant_id=self.tenant_id, channel=found, actor=self.caller.actor, **values)
        return self._again(found)

    def delete_object(self, found: Channel) -> None:
        """Delete a channel."""
        services.channel_delete(tenant_id=self.tenant_id, channel=found, actor=self.caller.actor)

    def _again(self, channel: Channel) -> Channel:
        # Read back, so that the answer is what is stored and the credentials are those of now.
        return self.get_queryset().get(pk=channel.pk)

    @extend_schema(responses=HealthSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], sort_fields=("at",), default_sort="-at")
    def health(self, request: Request, id: str) -> Response:
        """Return a channel's health checks, newest first."""
        page = self.paginate_queryset(health_of(channel_id=self.get_object().pk))
        return self.get_paginated_response(HealthSerializer(page, many=True).data)

    @extend_schema(request=None, responses=HealthSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Ask a channel's upstream now whether it works; the answer joins the history."""
        (row,) = self._check([self.get_object()])
        return Response(HealthSerializer(row).data)

    @extend_schema(request=None, responses=OpenApiResponse(HealthSerializer(many=True)), filters=False)
    @action(detail=False, methods=["post"], url_path="test-all")
    def test_all(self, request: Request) -> Response:
        """Ask the upstreams of all channels, switched off or not."""
        channels = list(self.get_queryset()[: MAX_TESTS + 1])
        if len(channels) > MAX_TESTS:
            text = f"More than {MAX_TESTS} channels: test one at a time. Enabled ones are checked every minute anyway."
            raise Problem("conflict", text)
        return Response(envelope(HealthSerializer(self._check(channels), many=True).data))

    def _check(self, channels: list[Channel]) -> list[Any]:
        tenant = self.caller.tenant
        assert tenant is not None, "this resource needs a tenant"
        return health.channels_check(tenant=tenant, channels=channels)


class Providers(Resource):
    """Providers: the kinds of upstream that Routex knows, from its registry."""

    serializer_class = ProviderSerializer
    needs_tenant = False
    noun = "provider"
    pagination_class = None
    filter_backends = ()

    def query_parameters(self) -> list[str]:
        """The list is short and comes whole."""
        return []

    def list(self, request: Request) -> Response:
        """Return every provider."""
        return Response(envelope([_describe(PROVIDERS[name]) for name in PROVIDERS]))


def _describe(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "label": provider.label,
        "base_url": provider.base_url,
        "base_url_example": provider.base_url or provider.base_url_example,
        "formats": provider.formats(),
        "operations": sorted(provider.endpoints),
        "needs_credential": provider.needs_credential,
        "credential": provider.credential,
        "has_probe": provider.probe is not None,
    }


class _OnChannels:
    """Lets a limit or quota count for a channel: the app that has them does not know channels."""

    def scope_target(self, scope: str, reference: str) -> str | None:
        """Return the id of what a scope and an id or slug mean, or None."""
        if scope == Scope.CHANNEL:
            channel = channel_by_reference(reference=reference)
            return channel.pk if channel else None
        found: str | None = super().scope_target(scope, reference)  # type: ignore[misc]
        return found


class ChannelLimits(_OnChannels, Limits):
    """Limits: how fast a tenant, a key or a channel may be used."""


class ChannelQuotas(_OnChannels, Quotas):
    """Quotas: how much a tenant, a key or a channel may use per calendar window."""
