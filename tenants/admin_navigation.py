"""What stands in the side bar of the admin sites, and what their pages are called."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

#: Group → (title, what it is for, icon, URL name); one list for the tenant's site, one for the platform's.
Navigation = tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...]

TENANT_NAVIGATION: Navigation = (
    ("", (("Requests", "", "view_list", "requests"),)),
    (
        "Channels",
        (
            ("Channels", "Ways to reach providers, with their credentials", "hub", "channels_app_channel"),
            ("Health checks", "What the checks found", "monitor_heart", "channels_app_channelhealth"),
        ),
    ),
    (
        "Routing",
        (
            ("Rules", "Who answers, by what is asked", "alt_route", "routing_routingrule"),
            ("Policy", "Strategy, retries and breaker", "tune", "routing_routingpolicy"),
            ("Aliases", "Other names for models", "label", "routing_modelalias"),
            ("Fallbacks", "Models to try next", "low_priority", "routing_modelfallback"),
            ("Backups", "Earlier configurations", "history", "routing_configbackup"),
        ),
    ),
    (
        "Access",
        (
            ("Keys", "For programs that ask for answers", "key", "tenants_gatewaykey"),
            ("Management tokens", "For programs that configure", "vpn_key", "tenants_managementtoken"),
            ("Limits", "How fast", "speed", "tenants_limit"),
            ("Quotas", "How much per calendar window", "donut_large", "tenants_quota"),
            ("Members", "Who may do what here", "group", "tenants_membership"),
            ("Audit", "Who changed what, when", "fact_check", "tenants_auditevent"),
        ),
    ),
)
PLATFORM_NAVIGATION: Navigation = (
    ("", (("Console", "", "arrow_back", "home"),)),
    (
        "Platform",
        (
            ("Tenants", "Customers: name, state, private networks", "apartment", "tenants_tenant"),
            ("Domains", "Host names that belong to one tenant", "dns", "tenants_domain"),
            ("Users", "People, and who administers the platform", "person", "tenants_user"),
            ("Management tokens", "The platform's own", "vpn_key", "tenants_managementtoken"),
            ("Audit", "Who changed what, when, on the whole install", "fact_check", "tenants_auditevent"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side bar as unfold wants it."""
    groups = PLATFORM_NAVIGATION if getattr(request, "membership", None) is None else TENANT_NAVIGATION
    return [
        {
            "title": group,
            "items": [
                {
                    "title": title,
                    "about": about,
                    "icon": icon,
                    "link": reverse(f"admin:{name}_changelist") if "_" in name else reverse(name),
                }
                for title, about, icon, name in entries
            ],
        }
        for group, entries in groups
    ]


def site_title(request: HttpRequest) -> str:
    """Return what the admin's pages are called."""
    membership = getattr(request, "membership", None)
    return membership.tenant.name if membership is not None else "Routex platform"


def theme(request: HttpRequest) -> str | None:
    """Return the person's theme for unfold, or None, which lets it follow the system."""
    chosen = request.COOKIES.get("routex_theme", "")
    return chosen if chosen in {"light", "dark"} else None
