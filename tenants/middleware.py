"""Path or host → tenant for console requests; never runs for gateway requests."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix

from tenants.context import tenant_scope
from tenants.models import Membership
from tenants.selectors import membership_get

_TENANT_PATH = re.compile(r"^/t/(?P<slug>[^/]+)(?P<rest>/.*)?$")


class TenantRequest(HttpRequest):
    """A request inside a tenant's pages, as views see it."""

    membership: Membership


class TenantMiddleware:
    """Take `/t/<slug>` off the path, check the person's membership, and run the view in that tenant's scope.

    Somebody who is no member gets the same 404 as for a tenant that does not exist.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = _TENANT_PATH.match(request.path_info)
        if match is None:
            return self.get_response(request)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        membership = membership_get(user=request.user, slug=match["slug"])
        if membership is None:
            return self._not_found(request)
        return self._in_tenant(request, membership, match["rest"] or "/")

    def _in_tenant(self, request: HttpRequest, membership: Membership, path: str) -> HttpResponseBase:
        request.membership = membership  # type: ignore[attr-defined]
        request.user.membership = membership  # type: ignore[union-attr]
        request.urlconf = "routex_site.tenant_urls"
        request.path_info = path
        outer_prefix = get_script_prefix()
        set_script_prefix(f"/t/{membership.tenant.slug}/")
        try:
            with tenant_scope(membership.tenant_id):
                response = self.get_response(request)
                if hasattr(response, "render") and callable(response.render):
                    response = response.render()
                if response.status_code >= 500:
                    # The exception was already turned into an answer; its half-done writes must not stay.
                    transaction.set_rollback(True)
                return response
        finally:
            set_script_prefix(outer_prefix)

    def _not_found(self, request: HttpRequest) -> HttpResponseBase:
        # Through the URL resolver, so that the answer is exactly what a page that does not exist gives.
        request.path_info = "/t/"
        try:
            return self.get_response(request)
        except Http404:
            return HttpResponse(status=404)
