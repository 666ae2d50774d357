"""The management API: one line per resource, its OpenAPI document and its documentation page."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from channels_app.api import ChannelLimits, ChannelQuotas, Channels, Providers
from tenants.api import Keys, Tenants

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("channels", Channels, basename="channels")
router.register("keys", Keys, basename="keys")
router.register("limits", ChannelLimits, basename="limits")
router.register("providers", Providers, basename="providers")
router.register("quotas", ChannelQuotas, basename="quotas")
router.register("tenants", Tenants, basename="tenants")

urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="openapi"), name="api-docs"),
]
