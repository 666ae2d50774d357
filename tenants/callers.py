"""Who calls the management API, and for which tenant: by management token, or by a person's session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from tenants.engine import keys
from tenants.models import ManagementToken, Role, Tenant, User
from tenants.problems import FieldError, Problem
from tenants.selectors import membership_get, tenant_by_slug, token_by_secret

TENANT_HEADER = "X-Routex-Tenant"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="routex"'}
_HOW = "Send a management token as `Authorization: Bearer rtxm_…`, or sign in."


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller. `tenant` is None for the platform itself; `role` is what it may do there."""

    actor: str
    role: str
    tenant: Tenant | None
    is_platform: bool = False


def identify(request: HttpRequest) -> Caller:
    """Return who calls. A token outdoes a session.

    Raises:
        Problem: nobody known calls, or not for a tenant that they can reach, or a session's write lacks its CSRF token.
    """
    slug = request.headers.get(TENANT_HEADER, "").strip()
    authorization = request.headers.get("Authorization", "")
    if authorization:
        return _by_token(authorization, slug)
    user: Any = request.user
    if not user.is_authenticated or not user.is_active:
        raise _unauthenticated(f"No credentials. {_HOW}")
    _check_csrf(request)
    return _by_session(user, slug)


def _by_token(authorization: str, slug: str) -> Caller:
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise _unauthenticated(f"The Authorization header holds no bearer token. {_HOW}")
    token = token_by_secret(secret=secret)
    if token is None:
        raise _unauthenticated(_why_no_token(secret))
    return Caller(_actor(token), token.role, _tenant_of(token, slug), is_platform=token.tenant_id is None)


def _tenant_of(token: ManagementToken, slug: str) -> Tenant | None:
    if not slug:
        return token.tenant
    if token.tenant is None:
        tenant = tenant_by_slug(slug=slug)
    else:
        tenant = token.tenant if token.tenant.slug == slug else None
    if tenant is None:
        raise unreachable_tenant()
    return tenant


def _by_session(user: User, slug: str) -> Caller:
    if not slug:
        if user.is_superuser:
            return Caller(str(user), Role.ADMIN, None, is_platform=True)
        raise tenant_required()
    membership = membership_get(user=user, slug=slug)
    if membership is None:
        raise unreachable_tenant()
    return Caller(str(user), membership.role, membership.tenant)


def _actor(token: ManagementToken) -> str:
    return token.slug if token.tenant_id else f"platform/{token.slug}"


def _why_no_token(secret: str) -> str:
    if secret.startswith(keys.GATEWAY_KEY):
        return (
            "This is a gateway key (rtx_…), which is for /v1 and /client. "
            "The management API takes a management token (rtxm_…)."
        )
    if owner := keys.foreign_owner(secret):
        return f"This looks like {owner}. Routex needs its own management token (rtxm_…)."
    if not keys.is_well_formed(secret, keys.MANAGEMENT_TOKEN):
        return "This is not a complete management token (checksum differs): it was probably cut when copied."
    return f"Unknown management token `rtxm_…{secret[-4:]}`. It may be deleted, expired, disabled or revoked."


def tenant_required() -> Problem:
    """Return the problem of a call that does not say for which tenant it is."""
    detail = f"Name the tenant: send its slug in the {TENANT_HEADER} header."
    return Problem("validation-error", detail, errors=[FieldError(TENANT_HEADER, "required", detail)])


def unreachable_tenant() -> Problem:
    """Return the problem of a tenant that is not there or not the caller's: nobody can tell which."""
    return Problem("not-found", f"The {TENANT_HEADER} header names no tenant that you can reach.")


def _unauthenticated(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers=_CHALLENGE)


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _check_csrf(request: HttpRequest) -> None:
    """Refuse a session's write without CSRF token; the views themselves are exempt, as tokens need none."""
    check = _CsrfCheck(lambda _: HttpResponse())
    check.process_request(request)
    reason = check.process_view(request, lambda _: HttpResponse(), (), {})
    if reason:
        raise Problem("forbidden", f"{reason} A session's write needs the CSRF token in the X-CSRFToken header.")
