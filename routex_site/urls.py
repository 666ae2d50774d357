"""URL table of the platform: what stands outside `/t/<slug>/`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from routex_site.client_api import client_api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include("routex_site.api")),
    path("client/", client_api.urls),
]
