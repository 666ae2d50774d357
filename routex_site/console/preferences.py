"""What a person prefers, kept in cookies so that the server renders the right page at once, without a flash."""

from __future__ import annotations

from functools import partial

from allauth.account.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from routex_site import VERSION
from tenants.selectors import config_failure

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "routex_theme"
SHORTCUTS_COOKIE = "routex_shortcuts"
COOKIE_LIFE_S = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """Return the person's theme; `auto` follows their system."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in THEMES else "auto"


def has_shortcuts(request: HttpRequest) -> bool:
    """Whether single-letter shortcuts are on, which they are until switched off."""
    return request.COOKIES.get(SHORTCUTS_COOKIE) != "off"


#: The tenant's configuration pages that the side bar names: label, icon, URL name.
CONFIG_PAGES = (
    ("Channels", "channels", "admin:channels_app_channel_changelist"),
    ("Keys", "keys", "admin:tenants_gatewaykey_changelist"),
    ("Rules", "routing", "admin:routing_routingrule_changelist"),
    ("Limits", "limits", "admin:tenants_limit_changelist"),
    ("Quotas", "limits", "admin:tenants_quota_changelist"),
    ("Members", "members", "admin:tenants_membership_changelist"),
    ("Audit", "audit", "admin:tenants_auditevent_changelist"),
    ("All settings", "settings", "admin:index"),
)


def console_context(request: HttpRequest) -> dict[str, object]:
    """Return what every page's frame needs (a template context processor)."""
    membership = getattr(request, "membership", None)
    return {
        "theme": theme_of(request),
        "themes": THEMES,
        "has_shortcuts": has_shortcuts(request),
        "membership": membership,
        "config_pages": CONFIG_PAGES,
        # Asked only by the pages that show it.
        "config_failure": partial(config_failure, tenant_id=membership.tenant_id) if membership else "",
        "version": VERSION,
    }


def _own_url(request: HttpRequest, url: str, default: str) -> str:
    """Return the URL when it leads to this site, else the default."""
    is_ours = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if is_ours else default


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Show the preferences, or store the one that the form sent and go back to where it was sent from."""
    if request.method == "GET":
        back = _own_url(request, request.GET.get("next", ""), "/")
        return render(request, "console/preferences.html", {"back": back})
    response = HttpResponseRedirect(_own_url(request, request.POST.get("next", ""), "/preferences/"))
    for field, cookie, allowed in (("theme", THEME_COOKIE, THEMES), ("shortcuts", SHORTCUTS_COOKIE, ("on", "off"))):
        value = request.POST.get(field, "")
        if value in allowed:
            response.set_cookie(
                cookie, value, max_age=COOKIE_LIFE_S, samesite="Lax", secure=request.is_secure(), httponly=True
            )
    return response


class ChangePassword(PasswordChangeView):
    """Change one's own password; other sign-ins of the same person end."""

    success_url = "/preferences/"
