"""URL table of one tenant's pages, without the `/t/<slug>` that the tenant middleware took off."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from routex_site.console import requests
from tenants.admin_sites import tenant_site

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="requests")),
    path("requests/", requests.requests_list, name="requests"),
    path("requests/<str:request_id>/", requests.request_detail, name="request"),
    path("admin/", tenant_site.urls),
]
