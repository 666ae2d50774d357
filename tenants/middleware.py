"""Path or host → tenant for console requests; never runs for gateway requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix

from tenants.context import platform_scope, tenant_scope
from tenants.models import Membership
from tenants.selectors import membership_get

_TENANT_PATH = re.compile(r"^/t/(?P<slug>[^/]+)(?P<rest>/.*)?$")
#: The platform's admin site sees every tenant's rows.
_PLATFORM_PATH = re.compile(r"^/admin(/|$)")


class TenantRequest(HttpRequest):
    """A request inside a tenant's pages, as views see it."""

    membership: Membership


class TenantMiddleware:
    """Take `/t/<slug>` off the path, check the person's membership, and run the view in that tenant's scope.

    Somebody who is no member gets the same 404 as for a tenant that does not exist. `/admin/` runs in the platform's
    scope, for platform administrators only; everything else runs in none and sees no row of any tenant.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = _TENANT_PATH.match(request.path_info)
        if match is None:
            return self._on_platform(request)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        membership = membership_get(user=request.user, slug=match["slug"])
        if membership is None:
            return self._not_found(request)
        return self._in_tenant(request, membership, match["rest"] or "/")

    def _on_platform(self, request: HttpRequest) -> HttpResponseBase:
        if _PLATFORM_PATH.match(request.path_info) and request.user.is_active and request.user.is_superuser:
            return self._in_scope(request, platform_scope())
        return self.get_response(request)

    def _in_tenant(self, request: HttpRequest, membership: Membership, path: str) -> HttpResponseBase:
        request.membership = membership  # type: ignore[attr-defined]
        request.user.membership = membership  # type: ignore[union-attr]
        request.urlconf = "routex_site.tenant_urls"  # type: ignore[assignment]
        request.path_info = path
        outer_prefix = get_script_prefix()
        set_script_prefix(f"/t/{membership.tenant.slug}/")
        try:
            return self._in_scope(request, tenant_scope(membership.tenant_id))
        finally:
            set_script_prefix(outer_prefix)

    def _in_scope(self, request: HttpRequest, scope: AbstractContextManager[None]) -> HttpResponseBase:
        with scope:
            response = self.get_response(request)
            if hasattr(response, "render") and callable(response.render):
                response = response.render()
            if response.status_code >= 500:
                # The exception was already turned into an answer; its half-done writes must not stay.
                transaction.set_rollback(True)
            return response

    def _not_found(self, request: HttpRequest) -> HttpResponseBase:
        # Through the URL resolver, so that the answer is exactly what a page that does not exist gives.
        request.path_info = "/t/"
        try:
            return self.get_response(request)
        except Http404:
            return HttpResponse(status=404)
