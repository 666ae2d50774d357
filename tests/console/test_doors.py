"""Signing in and out, the set-up page, the start page, preferences and the headers of every page."""

from __future__ import annotations

import secrets

import pytest
from django.test import Client

from routex_site.console.headers import ADMIN_POLICY, CONSOLE_POLICY
from tenants.context import tenant_scope
from tenants.models import User
from tenants.services import (
    FIRST_TENANT,
    administrator_create,
    membership_set,
    setup_token_issue,
    tenant_create,
    user_create,
)
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
GOOD = {"email": "first@example.com", "password": "a long enough phrase"}


@pytest.fixture
def client() -> Client:
    # A network of its own, so that no test eats another's allowance of tries.
    return Client(REMOTE_ADDR=f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")


def sign_in(client: Client, email: str, password: str, **more: str):
    return client.post("/login/", {"login": email, "password": password, **more})


def test_signing_in_leads_to_the_tenant_or_to_where_one_wanted_to_go(cast, client):
    assert client.get("/t/acme/requests/").headers["Location"] == "/login/?next=/t/acme/requests/"
    answer = sign_in(client, "alice@example.com", PASSWORD, next="/t/acme/admin/")
    assert answer.headers["Location"] == "/t/acme/admin/"
    assert client.get("/").headers["Location"] == "/t/acme/requests/"
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/t/acme/requests/").status_code == 302


def test_a_wrong_password_and_an_unknown_address_read_the_same(cast, client):
    known = sign_in(client, "alice@example.com", "not her password")
    unknown = sign_in(client, "nobody@example.com", "not her password")

    def text(answer) -> str:
        page = answer.content.decode()
        return page[page.index("<main") : page.index('<form method="post"')]

    assert known.status_code == unknown.status_code == 200
    assert text(known) == text(unknown)
    assert 'role="alert"' in text(known)


def test_guessing_is_stopped(cast, client):
    email = f"{secrets.token_hex(4)}@example.com"
    pages = [sign_in(client, email, "guess").content.decode() for _ in range(7)]
    assert "Too many failed" in pages[-1]
    assert sign_in(client, "alice@example.com", PASSWORD).status_code == 302


def test_a_foreign_address_to_go_to_is_not_followed(cast, client):
    answer = sign_in(client, "alice@example.com", PASSWORD, next="https://evil.example/")
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("path", ["/admin/", "/admin/tenants/user/", "/t/acme/admin/"])
def test_both_admin_sites_send_to_the_one_sign_in_page(cast, client, path):
    answer = client.get(path, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/login/?next=")
    assert 'name="login"' in answer.content.decode()


def test_setup_makes_the_first_administrator_once(cast, client):
    tenant_create(slug=FIRST_TENANT, name="Default")
    token = setup_token_issue()
    assert client.get("/setup/", {"token": token}).status_code == 200
    answer = client.post("/setup/", {"token": token, **GOOD})
    assert answer.headers["Location"] == f"/t/{FIRST_TENANT}/requests/"
    assert client.get(answer.headers["Location"]).status_code == 200
    for method in (client.get, client.post):
        second = method("/setup/", {"token": token, "email": "second@example.com", "password": GOOD["password"]})
        assert second.status_code == 403
        assert "has an administrator already" in second.content.decode()
    assert User.objects.filter(is_superuser=True).count() == 1


@pytest.mark.parametrize("token", ["", "rtxs_wrong", "rtxs_" + "0" * 38])
def test_setup_without_the_right_token_explains_where_to_find_it(cast, client, token):
    answer = client.get("/setup/", {"token": token})
    assert answer.status_code == 403
    assert "Start Routex again" in answer.content.decode()


def test_a_weak_password_at_setup_keeps_the_address_and_the_token(cast, client):
    token = setup_token_issue()
    page = client.post("/setup/", {"token": token, "email": GOOD["email"], "password": "12345678"})
    assert page.status_code == 422
    assert "too common" in page.content.decode()
    assert GOOD["email"] in page.content.decode()
    assert client.post("/setup/", {"token": token, **GOOD}).status_code == 302


def test_the_setup_page_is_never_stored_and_never_sent_as_referrer(cast, client):
    answer = client.get("/setup/", {"token": setup_token_issue()})
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_several_tenants_give_a_choice_and_none_says_so(cast, at_console):
    with tenant_scope(cast.rival.id):
        membership_set(tenant_id=cast.rival.id, user=cast.alice, role="viewer")
    page = at_console(cast.alice).get("/").content.decode()
    assert "/t/acme/requests/" in page
    assert "/t/rival/requests/" in page
    alone = at_console(user_create(email="alone@example.com", password=PASSWORD)).get("/").content.decode()
    assert "You belong to no tenant yet" in alone


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_theme_is_kept_in_a_cookie_and_rendered_by_the_server(cast, at_console, theme):
    client = at_console(cast.alice)
    answer = client.post("/preferences/", {"theme": theme, "next": "/t/acme/requests/"})
    assert answer.headers["Location"] == "/t/acme/requests/"
    assert f'data-theme="{theme}"' in client.get("/t/acme/requests/").content.decode()


def test_preferences_lead_nowhere_else_and_take_no_other_value(cast, client):
    answer = client.post("/preferences/", {"theme": '"><script>', "next": "//evil.example/"})
    assert answer.headers["Location"] == "/preferences/"
    assert not answer.cookies
    assert 'href="/"' in client.get("/preferences/", {"next": "javascript:alert(1)"}).content.decode()


def test_shortcuts_can_be_switched_off(cast, at_console):
    client = at_console(cast.alice)
    assert "data-shortcuts" not in client.get("/t/acme/requests/").content.decode()
    client.post("/preferences/", {"shortcuts": "off"})
    assert 'data-shortcuts="off"' in client.get("/t/acme/requests/").content.decode()


def test_every_page_carries_its_policy(cast, at_console):
    client = at_console(cast.alice)
    for path in ("/t/acme/requests/", "/preferences/", "/nowhere/", "/t/rival/requests/"):
        answer = client.get(path)
        assert answer.headers["Content-Security-Policy"] == CONSOLE_POLICY, path
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "queries" in answer.headers["Server-Timing"]
    assert "unsafe" not in CONSOLE_POLICY
    assert client.get("/t/acme/admin/").headers["Content-Security-Policy"] == ADMIN_POLICY
    assert "script-src 'self' 'unsafe-eval';" in ADMIN_POLICY


def test_error_pages_say_what_to_do_in_the_same_look(cast, client, at_console):
    assert 'data-page="404"' in client.get("/nowhere/").content.decode()
    refused = at_console(cast.alice).get("/admin/", follow=True)
    assert refused.status_code == 403
    assert "platform administrator" in refused.content.decode()


def test_an_account_that_is_switched_off_cannot_sign_in(cast, client):
    user = administrator_create(**GOOD)
    User.objects.filter(pk=user.pk).update(is_active=False)
    answer = client.post("/login/", {"login": GOOD["email"], "password": GOOD["password"]}, follow=True)
    assert "switched off" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_people_change_their_own_password(cast, client):
    user = user_create(email="gina@example.com", password=PASSWORD)
    sign_in(client, "gina@example.com", PASSWORD)
    form = {"oldpassword": "wrong", "password1": "another long phrase", "password2": "another long phrase"}
    assert "current password" in client.post("/preferences/password/", form).content.decode()
    answer = client.post("/preferences/password/", form | {"oldpassword": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/preferences/"
    assert "changed" in answer.content.decode()
    user.refresh_from_db()
    assert user.check_password("another long phrase")


def test_changing_a_password_takes_a_sign_in(cast, client):
    assert client.get("/preferences/password/").headers["Location"].startswith("/login/")
