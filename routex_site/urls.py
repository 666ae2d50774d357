"""URL table of the platform: what stands outside `/t/<slug>/`."""

from __future__ import annotations

from allauth.account import views as account
from django.urls import URLPattern, URLResolver, include, path

from routex_site.client_api import client_api
from routex_site.console import doors, error_pages, preferences
from tenants.admin_sites import platform_site

urlpatterns: list[URLPattern | URLResolver] = [
    path("", doors.home, name="home"),
    path("keys/", doors.keys, name="keys"),
    path("errors/", error_pages.errors, name="errors"),
    path("errors/<str:name>", error_pages.error, name="error"),
    path("setup/", doors.setup, name="setup"),
    path("preferences/", preferences.preferences, name="preferences"),
    path("preferences/password/", preferences.ChangePassword.as_view(), name="account_change_password"),
    # allauth finds its pages by these names.
    path("login/", account.login, name="account_login"),
    path("login/inactive/", account.account_inactive, name="account_inactive"),
    path("logout/", account.logout, name="account_logout"),
    path("admin/", platform_site.urls),
    path("api/", include("routex_site.api")),
    path("client/", client_api.urls),
]
