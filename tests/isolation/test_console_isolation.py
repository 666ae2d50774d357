"""Nothing of Acme is for Charlie on pages and websockets either: every pattern is found by itself.

A new page or socket is called without a line here; what takes the place of its parameters is Acme's own.
"""

from __future__ import annotations

import re

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from routex_site.sockets import NoSuchSocket, websockets
from tenants.context import tenant_scope
from tenants.models import GatewayKey

pytestmark = pytest.mark.django_db(transaction=True)


def paths_of(patterns: list[URLPattern | URLResolver], before: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        path = before + str(pattern.pattern)
        found += paths_of(pattern.url_patterns, path) if isinstance(pattern, URLResolver) else [path]
    return found


def pages() -> list[str]:
    return sorted(set(paths_of(get_resolver("routex_site.tenant_urls").url_patterns)))


def sockets() -> list[str]:
    return [str(r.pattern) for r in websockets.routes if isinstance(r.pattern, RoutePattern)]


def filled(path: str, acme_id: str) -> str:
    """Return a path with one of Acme's own ids for each parameter, whether a route or an expression wrote it."""
    path = re.sub(r"<(?:\w+:)?\w+>", acme_id, path)
    return re.sub(r"\(\?P<\w+>[^)]*\)|[\^$]|\\Z", "", path)


@pytest.fixture(scope="module")
def acme_id(cast, django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
        return GatewayKey.objects.values_list("id", flat=True)[0]


def test_the_enumeration_finds_what_is_there():
    assert len(pages()) > 30 and "requests/" in pages()
    assert sockets() == ["ws/t/<str:slug>/requests/"], "a new socket: look that the tests below reach it"
    assert websockets.routes[-1].callback.consumer_class is NoSuchSocket


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", pages())
def test_an_outsider_gets_404_from_every_page(cast, acme_id, path, method):
    client = Client()
    client.force_login(cast.charlie, backend="allauth.account.auth_backends.AuthenticationBackend")
    response = getattr(client, method)(f"/t/acme/{filled(path, acme_id)}")
    assert response.status_code == 404
    assert acme_id not in response.content.decode().replace(f"/t/acme/{filled(path, acme_id)}", "")


@pytest.mark.parametrize("path", pages())
def test_a_token_or_a_key_opens_no_page(cast, acme_id, path):
    for secret in (cast.rival_token, cast.rival_key, cast.acme_token, cast.acme_key):
        response = Client(headers={"authorization": f"Bearer {secret}"}).get(f"/t/acme/{filled(path, acme_id)}")
        assert response.status_code == 302 and response["location"].startswith("/login/")


@pytest.mark.asyncio
@pytest.mark.parametrize("path", sockets())
@pytest.mark.parametrize("who", ["charlie", "nobody"])
async def test_an_outsider_is_refused_by_every_socket_before_it_opens(cast, path, who):
    communicator = WebsocketCommunicator(websockets, "/" + re.sub(r"<(?:\w+:)?slug>", "acme", path))
    communicator.scope["user"] = cast.charlie if who == "charlie" else AnonymousUser()
    is_open, code = await communicator.connect()
    assert (is_open, code) == (False, 4404)
