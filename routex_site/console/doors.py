"""The ways in: the start page and the set-up page that makes the first administrator."""

from __future__ import annotations

from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from tenants.models import User
from tenants.selectors import administrator_exists, memberships_of, setup_is_open
from tenants.services import SetupClosed, setup_complete

#: The backend that a sign-in by the set-up page is booked under: the same as a sign-in by password.
PASSWORD_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"  # noqa: S105 a dotted path


def home_path(user: User) -> str:
    """Return where a person starts: their only tenant's requests, or the page that lets them choose."""
    memberships = memberships_of(user=user)
    return f"/t/{memberships[0].tenant.slug}/requests/" if len(memberships) == 1 else "/"


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Send a person to their tenant; with several, let them choose; with none, say so."""
    if not isinstance(request.user, User):
        return HttpResponseRedirect("/login/")
    memberships = memberships_of(user=request.user)
    if len(memberships) == 1:
        return HttpResponseRedirect(home_path(request.user))
    return render(request, "console/chooser.html", {"memberships": memberships})


@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """Send a person to the keys of their only tenant: error messages lead here, knowing no tenant."""
    if not isinstance(request.user, User):
        return HttpResponseRedirect("/login/?next=/keys/")
    memberships = memberships_of(user=request.user)
    if len(memberships) == 1:
        return HttpResponseRedirect(f"/t/{memberships[0].tenant.slug}/admin/tenants/gatewaykey/")
    return HttpResponseRedirect("/")


@never_cache
@sensitive_post_parameters("password", "token")
@require_http_methods(["GET", "POST"])
def setup(request: HttpRequest) -> HttpResponse:
    """Make the first administrator for whoever holds the one-time token, and sign them in."""
    values = request.POST if request.method == "POST" else request.GET
    token = values.get("token", "")
    if not setup_is_open(token=token):
        closed = {"has_administrator": administrator_exists(), "has_token": bool(token)}
        return render(request, "console/setup_closed.html", closed, status=403)
    if request.method == "GET":
        return render(request, "console/setup.html", {"token": token})
    email = request.POST.get("email", "")
    try:
        user = setup_complete(token=token, email=email, password=request.POST.get("password", ""))
    except ValidationError as error:
        context = {"token": token, "email": email, "errors": error.messages}
        return render(request, "console/setup.html", context, status=422)
    except SetupClosed:
        # Somebody else used the token between the check and here.
        return render(request, "console/setup_closed.html", {"has_administrator": True, "has_token": True}, status=403)
    login(request, user, backend=PASSWORD_BACKEND)
    return HttpResponseRedirect(home_path(user))
