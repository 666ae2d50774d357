"""Path → tenant for console pages, credentials → tenant for the management API; never runs for gateway requests."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix

from tenants.callers import Caller, identify
from tenants.context import platform_scope, tenant_scope
from tenants.engine.ids import new_id
from tenants.models import Membership
from tenants.problems import CONTENT_TYPE, Problem, client_error_response, name_of_status, problem_response
from tenants.selectors import membership_get

logger = logging.getLogger("routex.api")

_TENANT_PATH = re.compile(r"^/t/(?P<slug>[^/]+)(?P<rest>/.*)?$")
API_PREFIX = "/api/"
CLIENT_PREFIX = "/client/"
#: The description of the API is no secret, and is what people look at before they have a token.
PUBLIC_API_PATHS = frozenset({"/api/openapi.json", "/api/docs/"})
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
        request.urlconf = "routex_site.tenant_urls"
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


class ApiRequest(HttpRequest):
    """A request to the management API, as views see it."""

    caller: Caller


class ApiMiddleware:
    """Find out who calls `/api/…`, and run the view in the scope of the tenant that the call is for.

    Whatever refuses, a view or Django itself, the answer is a problem document and its writes do not stay.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        request_id = new_id("req")
        try:
            response = self._answer(request)
        except Problem as problem:
            response = problem_response(problem)
        if response.status_code >= 400 and response.headers.get("Content-Type") != CONTENT_TYPE:
            text = _refusal(request, response.status_code, request_id, API_PREFIX)
            response = problem_response(Problem(name_of_status(response.status_code), text))
        response.headers["X-Request-Id"] = request_id
        # Answers may hold what only this caller may see, once even a new secret.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in PUBLIC_API_PATHS:
            return self.get_response(request)
        caller = identify(request)
        request.caller = caller  # type: ignore[attr-defined]
        with tenant_scope(caller.tenant.id) if caller.tenant else platform_scope():
            response = self.get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)
            return response


class ClientMiddleware:
    """Give every answer of `/client/…` an id, and the form of the client API to refusals that Django made.

    Who calls is found out per operation, by the key (tenants/client_api.py).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(CLIENT_PREFIX):
            return self.get_response(request)
        request_id = new_id("req")
        response = self.get_response(request)
        if response.status_code >= 400 and not response.headers.get("Content-Type", "").startswith("application/json"):
            code = name_of_status(response.status_code).replace("-", "_")
            text = _refusal(request, response.status_code, request_id, CLIENT_PREFIX)
            allowed = response.headers.get("Allow")
            response = client_error_response(response.status_code, code, text)
            if allowed:
                response.headers["Allow"] = allowed
        response.headers["X-Request-Id"] = request_id
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _refusal(request: HttpRequest, status: int, request_id: str, prefix: str) -> str:
    """Return the text in place of a page that Django made."""
    if status == 404:
        return f"No route {request.method} {request.path}. What there is: {prefix}openapi.json."
    if status == 405:
        return f"{request.path} does not take {request.method}. What it takes: {prefix}openapi.json."
    if status >= 500:
        logger.error("%s %s failed; the caller was given the id %s", request.method, request.path, request_id)
        return f"Routex failed. Give this id to whoever runs it: {request_id}."
    return f"The request was refused before it reached the API (HTTP {status})."
