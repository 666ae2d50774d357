"""Pages and websockets of a tenant answer outsiders as if there were no such tenant; both are enumerated."""

from __future__ import annotations

import re

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.urls import URLPattern

from routex_site.sockets import websockets
from routex_site.tenant_urls import urlpatterns

#: The pages of the tenant, the admin site apart, which has tests of its own.
PAGES = ["/" + re.sub(r"<[^>]+>", "1", str(entry.pattern)) for entry in urlpatterns if isinstance(entry, URLPattern)]
SOCKETS = [str(route.pattern) for route in websockets.routes if "<" in str(route.pattern)]


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_an_outsider_gets_what_a_tenant_that_does_not_exist_gives(cast, at_console, path):
    charlie = at_console(cast.charlie)
    theirs, nobodys = charlie.get(f"/t/acme{path}"), charlie.get(f"/t/nobody{path}")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content
    assert at_console(cast.alice).get(f"/t/acme{path}").status_code in {200, 302} or path.endswith("/1/")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_nobody_gets_in_without_signing_in(cast, client, path):
    assert client.get(f"/t/acme{path}").headers["Location"] == f"/login/?next=/t/acme{path}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
@pytest.mark.parametrize("who", ["charlie", "nobody"])
@pytest.mark.parametrize("path", [*SOCKETS, "ws/t/<str:slug>/no-such-socket/", "ws/elsewhere/"])
async def test_a_websocket_refuses_outsiders_and_strange_paths(cast, who, path):
    socket = WebsocketCommunicator(websockets, "/" + path.replace("<str:slug>", "acme"))
    socket.scope["user"] = cast.charlie if who == "charlie" else AnonymousUser()
    is_accepted, _ = await socket.connect(timeout=10)
    assert not is_accepted


def test_there_are_websockets_and_pages_to_look_at():
    assert SOCKETS
    assert len(PAGES) >= 3


@pytest.mark.django_db
def test_a_missing_last_slash_is_added_inside_a_tenant_too(cast, at_console):
    answer = at_console(cast.alice).get("/t/acme/requests")
    assert answer.headers["Location"] == "/t/acme/requests/"
    assert at_console(cast.alice).get("/t/acme").headers["Location"] == "/t/acme/requests/"
