"""Requests over the management API."""

import datetime as dt

import pytest

from tenants.context import tenant_scope
from tests.analytics.rows import request_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def acme(cast):
    """Return a caller whose tenant has five requests, a minute apart, and a neighbour with one of its own."""
    with tenant_scope(cast.acme.id):
        for number, (status, outcome) in enumerate(
            [(200, "answered"), (200, "answered"), (429, "refused"), (502, "failed"), (200, "gone")]
        ):
            request_write(
                tenant_id=cast.acme.id, started_at=NOON + dt.timedelta(minutes=number), status=status, outcome=outcome,
                asked_model=f"m{number % 2}", upstream_model="up", channel_slug="main", key_slug=f"k{number}",
                input_tokens=number, attempts=[{"channel": "main", "status": status}],
            )  # fmt: skip
    with tenant_scope(cast.rival.id):
        request_write(tenant_id=cast.rival.id, started_at=NOON, key_slug="not-acmes")
    return Api(token=cast.acme_token)


def keys(api, query=""):
    answer = api.get(f"/api/requests?{query}")
    assert answer.status == 200, answer.text
    return [row["key_slug"] for row in answer.body["data"]]


def test_requests_come_newest_first_and_page_by_page(acme):
    assert keys(acme) == ["k4", "k3", "k2", "k1", "k0"]
    first = acme.get("/api/requests?limit=2")
    second = acme.get(f"/api/requests?limit=2&after={first.body['next_cursor']}")
    assert [row["key_slug"] for row in second.body["data"]] == ["k2", "k1"]
    assert keys(acme, "sort=started_at&limit=1") == ["k0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status_class=2", ["k4", "k1", "k0"]),
        ("status=429", ["k2"]),
        ("outcome=failed", ["k3"]),
        ("model=m1", ["k3", "k1"]),
        ("model=up&key=k0", ["k0"]),
        ("channel=other", []),
        ("since=2026-03-01T12:02:00Z&until=2026-03-01T12:04:00Z", ["k3", "k2"]),
    ],
)
def test_requests_are_found_by_what_they_are(acme, query, found):
    assert keys(acme, query) == found


@pytest.mark.parametrize("query", ["status=ten", "status_class=9", "since=yesterday", "tenant_id=x", "sort=status"])
def test_a_filter_that_makes_no_sense_is_refused(acme, query):
    assert acme.get(f"/api/requests?{query}").pointers == [f"?{query.partition('=')[0]}"]


def test_one_request_is_told_with_its_attempts(acme):
    newest = acme.get("/api/requests?limit=1").body["data"][0]
    told = acme.get(f"/api/requests/{newest['id']}").body
    assert told == newest and told["attempts"] == [{"channel": "main", "status": 200}] and told["input_tokens"] == 4
    assert "tenant_id" not in told
    assert acme.get("/api/requests/req_none").status == 404


def test_nobody_writes_requests_by_hand(acme):
    assert acme.post("/api/requests", {}).status == 405
    assert acme.delete("/api/requests/req_x").status == 405


def test_a_cost_is_an_exact_decimal_string_and_null_when_nobody_knows_it(cast, acme):
    with tenant_scope(cast.acme.id):
        request_write(
            tenant_id=cast.acme.id, key_slug="priced", cost_nano_usd=10_935_000, price_version="book-7",
            usage_details='{"web_searches": 2}',
        )  # fmt: skip
    [row] = acme.get("/api/requests?key=priced").body["data"]
    assert (row["cost_usd"], row["price_version"], row["usage_details"]) == ("0.010935", "book-7", {"web_searches": 2})
    [row] = acme.get("/api/requests?key=k0").body["data"]
    assert (row["cost_usd"], row["price_version"]) == (None, "")
