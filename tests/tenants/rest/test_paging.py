"""Lists: every row once in every order, in both directions, while rows come and go; and no parameter is ignored."""

import pytest

from tenants.context import tenant_scope
from tenants.models import GatewayKey
from tenants.services import key_issue
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

SLUGS = [f"k{number:02d}" for number in range(7)]


@pytest.fixture
def acme(cast):
    with tenant_scope(cast.acme.id):
        GatewayKey.objects.all().delete()
        for slug in SLUGS:
            key_issue(tenant_id=cast.acme.id, slug=slug)
        # The same moment for all: the order must still be one, by id.
        GatewayKey.objects.update(created_at="2026-01-02T03:04:05.678901Z")
    return Api(token=cast.acme_token)


def pages(api, query, parameter="after", cursor="next_cursor", start=""):
    found, token = [], start
    while True:
        answer = api.get(f"/api/keys?{query}" + (f"&{parameter}={token}" if token else ""))
        assert answer.status == 200, answer.text
        found.append([row["slug"] for row in answer.body["data"]])
        token = answer.body[cursor]
        if not token:
            return found, answer
        assert len(found) < 20


@pytest.mark.parametrize("sort", ["slug", "-slug", "created_at", "-created_at"])
@pytest.mark.parametrize("limit", [1, 3, 7, 200])
def test_every_row_is_told_once_in_every_order(acme, sort, limit):
    found, last = pages(acme, f"sort={sort}&limit={limit}")
    flat = [slug for page in found for slug in page]
    assert sorted(flat) == SLUGS and len(flat) == len(SLUGS)
    assert last.body["has_more"] is False
    assert flat == (SLUGS[::-1] if sort.startswith("-") else SLUGS) or "created_at" in sort


def test_going_back_gives_the_same_rows_in_the_same_order(acme):
    forth, last = pages(acme, "limit=3")
    back, first = pages(acme, "limit=3", "before", "prev_cursor", last.body["prev_cursor"])
    assert back == forth[:-1][::-1]
    assert first.body["has_more"] is True and first.body["prev_cursor"] is None


def test_rows_that_come_and_go_neither_repeat_nor_hide_others(cast, acme):
    first = acme.get("/api/keys?limit=3")
    with tenant_scope(cast.acme.id):
        GatewayKey.objects.filter(slug="k02").delete()  # the cursor's own row
        key_issue(tenant_id=cast.acme.id, slug="a-new-first")
    second = acme.get(f"/api/keys?limit=3&after={first.body['next_cursor']}")
    assert [row["slug"] for row in second.body["data"]] == ["k03", "k04", "k05"]


def test_the_link_header_leads_on_and_keeps_the_filters(acme):
    answer = acme.get("/api/keys?limit=2&state=active&sort=-slug")
    path = answer.headers["Link"].partition(">")[0].lstrip("<")
    assert [row["slug"] for row in acme.get(path).body["data"]] == ["k04", "k03"]
    assert 'rel="next"' in answer.headers["Link"] and 'rel="prev"' in acme.get(path).headers["Link"]


@pytest.mark.parametrize(
    ("query", "pointer", "said"),
    [
        ("limits=1", "?limits", "`limit`"),
        ("stat=active", "?stat", "`state`"),
        ("limit=0", "?limit", "1 to 200"),
        ("limit=201", "?limit", "1 to 200"),
        ("limit=ten", "?limit", "1 to 200"),
        ("sort=digest", "?sort", "slug"),
        ("after=garbage", "?after", "cursor"),
        ("before=W10", "?before", "cursor"),
        ("after=x&before=y", "?before", "not both"),
        ("state=sleeping", "?state", "sleeping"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(acme, query, pointer, said):
    answer = acme.get(f"/api/keys?{query}")
    assert answer.status == 400 and answer.pointers == [pointer]
    assert said in answer.text


def test_a_cursor_of_another_order_is_refused(acme):
    cursor = acme.get("/api/keys?limit=1").body["next_cursor"]
    assert acme.get(f"/api/keys?limit=1&sort=-slug&after={cursor}").pointers == ["?after"]


def test_a_parameter_on_one_object_is_refused_too(acme):
    assert acme.get("/api/keys/k01?limit=1").status == 400


def test_a_search_finds_by_part_of_the_slug(acme):
    assert [row["slug"] for row in acme.get("/api/keys?q=k0&slug=k03").body["data"]] == ["k03"]
    assert len(acme.get("/api/keys?q=k0").body["data"]) == 7
