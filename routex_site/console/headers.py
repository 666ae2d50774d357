"""Response headers of pages: the content security policy, and what a page cost in Server-Timing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponseBase

#: Nothing but our own files runs, styles or loads; `connect-src 'self'` covers the websocket of the same origin.
CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The admin is django-unfold, whose Alpine evaluates expressions in attributes ('unsafe-eval') and which sets its
#: colours and sizes in style elements and attributes ('unsafe-inline', styles only). Inline scripts do not run there.
ADMIN_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The interactive API documentation comes with inline start-up scripts; nothing there shows what a stranger wrote.
API_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_ADMIN_PATH = re.compile(r"^(/t/[^/]+)?/admin(/|$)")
_API_PATH = re.compile(r"^/(api|client)/")


def policy_for(path: str) -> str:
    """Return the content security policy of a page."""
    if _ADMIN_PATH.match(path):
        return ADMIN_POLICY
    return API_DOCS_POLICY if _API_PATH.match(path) else CONSOLE_POLICY


class SecurityPolicyMiddleware:
    """Give every HTML answer its content security policy, unless the view brought its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
            response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class ServerTimingMiddleware:
    """Say in `Server-Timing` how long an HTML answer took, and how much of that was the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started_s = time.perf_counter()
        queries, spent_s = 0, 0.0

        def timed(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
            nonlocal queries, spent_s
            begun_s = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                queries += 1
                spent_s += time.perf_counter() - begun_s

        with connection.execute_wrapper(timed):
            response = self.get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            total_ms = (time.perf_counter() - started_s) * 1000
            response.headers["Server-Timing"] = (
                f'db;dur={spent_s * 1000:.1f};desc="{queries} queries", total;dur={total_ms:.1f}'
            )
        return response
