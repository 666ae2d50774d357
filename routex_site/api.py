"""The management API: one line per resource, its OpenAPI document and its documentation page."""

from __future__ import annotations

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from analytics.api import Requests
from channels_app.api import ChannelLimits, ChannelQuotas, Channels, Providers
from routing.api import Routing, Transformers
from tenants.api import Keys, Tenants

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("channels", Channels, basename="channels")
router.register("keys", Keys, basename="keys")
router.register("limits", ChannelLimits, basename="limits")
router.register("providers", Providers, basename="providers")
router.register("quotas", ChannelQuotas, basename="quotas")
router.register("requests", Requests, basename="requests")
router.register("routing", Routing, basename="routing")
router.register("tenants", Tenants, basename="tenants")
router.register("transformers", Transformers, basename="transformers")


@cache
def openapi_document() -> bytes:
    """Return the OpenAPI document; the same for everyone, so it is made once per process."""
    rendered: bytes = OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True))
    return rendered


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """Answer the OpenAPI document."""
    return HttpResponse(openapi_document(), content_type="application/json")


urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("openapi.json", openapi, name="openapi"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="openapi"), name="api-docs"),
]
