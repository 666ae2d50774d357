"""The pages that errors link to are there for every code and type, without signing in."""

from __future__ import annotations

import pytest
from django.test import Client

from routing.engine.catalogue import ROWS
from tenants.problems import TYPES
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
ROW = {row.code: row for row in ROWS}


def test_every_code_and_type_is_listed_and_has_its_page():
    client = Client()
    listing = client.get("/errors/").content.decode()
    for name in (*ROW, *TYPES):
        assert f'href="/errors/{name}"' in listing
        page = client.get(f"/errors/{name}")
        assert page.status_code == 200 and f"<code>{name}</code>" in page.content.decode()


def test_a_page_says_what_to_do():
    page = Client().get("/errors/malformed_api_key").content.decode()
    assert ROW["malformed_api_key"].remedy in page and "does not help" in page


@pytest.mark.parametrize("name", ["nothing", "%3Cscript%3E", "a" * 5000, "%00"])
def test_no_page_for_what_is_no_error(name):
    answer = Client().get(f"/errors/{name}")
    assert answer.status_code == 404 and "<script>" not in answer.content.decode()


def test_the_address_of_keys_in_messages_leads_a_person_to_theirs(cast):
    client = Client()
    assert client.get("/keys/").headers["Location"] == "/login/?next=/keys/"
    client.post("/login/", {"login": "alice@example.com", "password": PASSWORD})
    there = client.get("/keys/").headers["Location"]
    assert there == "/t/acme/admin/tenants/gatewaykey/"
    assert client.get(there).status_code == 200
