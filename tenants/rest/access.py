"""Access to the management API: the middleware found the caller; here DRF hears of it, and the role decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from tenants.auth import role_allows
from tenants.callers import Caller

if TYPE_CHECKING:  # DRF imports this file while it imports its own views
    from rest_framework.request import Request
    from rest_framework.views import APIView

#: What a method does to a resource, unless the view says otherwise.
ACTIONS = {"GET": "view", "HEAD": "view", "OPTIONS": "view", "POST": "add", "PATCH": "change", "DELETE": "delete"}


class CallerAuthentication(BaseAuthentication):
    """Hand on the caller that the middleware identified."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        """Return (person or nobody, caller); None outside `/api/`."""
        caller: Caller | None = getattr(request._request, "caller", None)
        return None if caller is None else (request._request.user, caller)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="routex"'


class RoleAllows(BasePermission):
    """The caller's role decides, by the model that the view is about."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the role may do what the method does; a view of no model is for everyone who is known."""
        caller: Any = request.auth
        if not isinstance(caller, Caller):
            return False
        queryset = getattr(view, "queryset", None)
        if queryset is None or getattr(view, "action", "") is None:
            return True  # no model to ask about, or a method that the path does not take: 405 says more than 403
        action = ACTIONS.get(request.method or "", "change")
        meta = queryset.model._meta
        self.message = f"The role {caller.role} may not {action} a {meta.verbose_name}."
        return role_allows(caller.role, meta.app_label, action, meta.model_name)
