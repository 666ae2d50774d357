"""Sessions over the management API: listed, shown, let go."""

import pytest
from django.utils import timezone

from analytics.models import SessionPin
from tenants.context import tenant_scope
from tenants.models import AuditEvent
from tests.analytics.rows import session_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(cast):
    for minutes, session in enumerate(("newest", "middle", "oldest")):
        session_write(cast.acme.id, session, minutes_ago=minutes)
    session_write(cast.acme.id, "over", life_s=-1)
    session_write(cast.acme.id, "unpinned", channel_id="")
    session_write(cast.rival.id, "not-acmes")
    return Api(token=cast.acme_token)


def names(api, query=""):
    answer = api.get(f"/api/sessions?{query}")
    assert answer.status == 200, answer.text
    return [row["session"] for row in answer.body["data"]]


def test_sessions_that_stay_somewhere_are_listed_newest_first(acme):
    assert names(acme) == ["newest", "middle", "oldest"]
    assert names(acme, "limit=2") == ["newest", "middle"]
    assert names(acme, "sort=used_at") == ["oldest", "middle", "newest"]


@pytest.mark.parametrize(
    ("query", "found"),
    [("session=middle", ["middle"]), ("channel_id=chn_b", []), ("model=m&session=oldest", ["oldest"])],
)
def test_sessions_are_found_by_what_they_are(acme, query, found):
    assert names(acme, query) == found


def test_an_unknown_filter_is_refused(acme):
    assert acme.get("/api/sessions?chanel=a").status == 400


def test_a_session_is_shown(acme):
    [row] = acme.get("/api/sessions?session=newest").body["data"]
    shown = acme.get(f"/api/sessions/{row['id']}")
    assert shown.status == 200
    assert (shown.body["channel_id"], shown.body["credential"], shown.body["model"]) == ("chn_a", "main", "m")


def test_an_unpinned_session_is_gone_kept_for_the_gateways_and_noted(cast, acme):
    [row] = acme.get("/api/sessions?session=newest").body["data"]
    assert acme.call("DELETE", f"/api/sessions/{row['id']}").status == 204
    assert acme.get(f"/api/sessions/{row['id']}").status == 404
    assert acme.call("DELETE", f"/api/sessions/{row['id']}").status == 404
    with tenant_scope(cast.acme.id):
        kept = SessionPin.objects.get(pk=row["id"])
        assert kept.channel_id == "" and kept.written_by > 0 and kept.expires_at > timezone.now()
        assert AuditEvent.objects.filter(action="session.unpinned").count() == 1


def test_a_viewer_reads_and_does_not_unpin(cast, acme):
    bob = Api(user=cast.bob, tenant="acme")
    [row] = bob.get("/api/sessions?session=newest").body["data"]
    assert bob.call("DELETE", f"/api/sessions/{row['id']}").status == 403


def test_nobody_writes_sessions(acme):
    assert acme.call("POST", "/api/sessions", {"session": "x"}).status == 405
