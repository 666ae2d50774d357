"""URL table of one tenant's pages, without the `/t/<slug>` that the tenant middleware took off."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
