"""Prices over the management API: what they are, whose they are to change, and requests rated again."""

from __future__ import annotations

import datetime as dt

import pytest

from analytics.models import RequestRecord, UsageQuarter
from analytics.price_books import price_book_ensure, price_book_read
from channels_app.services import channel_create
from routing import prices_api
from routing.snapshots import publish
from tenants.context import platform_scope, tenant_scope
from tenants.services import token_issue
from tests.analytics.rows import request_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

NOON = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def book():
    price_book_ensure()
    return price_book_read()


@pytest.fixture
def platform(cast):
    with platform_scope():
        _, secret = token_issue(tenant_id=None, slug="robot")
    return lambda tenant="": Api(token=secret, tenant=tenant)


@pytest.fixture
def stored(cast, book):
    """Three requests of Acme: one never priced, one priced otherwise, one of a channel that is gone."""
    with tenant_scope(cast.acme.id):
        channel = channel_create(
            tenant_id=cast.acme.id, slug="main", provider="openai", served_models=["gpt-4.1", "ours"],
            prices={"ours": {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}},
        )  # fmt: skip
    publish(tenant_id=cast.acme.id)
    usual = {"tenant_id": cast.acme.id, "channel_id": channel.id, "started_at": NOON, "public_model": "m"}
    with tenant_scope(cast.acme.id):
        return {
            "public": request_write(**usual, upstream_model="gpt-4.1", input_tokens=1_000_000, output_tokens=0),
            "own": request_write(
                **usual, upstream_model="ours", input_tokens=10, output_tokens=5, cost_nano_usd=7, price_version="old"
            ),
            "gone": request_write(
                **usual | {"channel_id": "chn_gone"}, upstream_model="gpt-4.1", input_tokens=9, cost_nano_usd=3
            ),
            "silent": request_write(**usual, upstream_model="gpt-4.1"),
        }


def rerate(api, **more):
    answer = api.post("/api/prices/rerate", {"since": NOON.isoformat()} | more)
    assert answer.status == 200, answer.text
    return answer.body


def costs(cast, stored):
    with tenant_scope(cast.acme.id):
        rows = {row.id: (row.cost_nano_usd, row.price_version) for row in RequestRecord.objects.all()}
    return {name: rows[request_id] for name, request_id in stored.items()}


def test_the_whole_name_comes_before_parts_of_names(book, cast):
    answer = Api(token=cast.acme_token).get("/api/prices?model=gpt-4.1&provider=openai")
    assert answer.status == 200, answer.text
    names = [row["model"] for row in answer.body["data"]]
    assert names[0] == "gpt-4.1"
    assert "gpt-4.1-mini" in names
    first = answer.body["data"][0]
    assert (first["rates"]["input"], first["rates"]["output"], first["version"]) == ("2.00", "8.00", book.version)


def test_the_list_is_bounded_and_says_so(book, cast):
    answer = Api(token=cast.acme_token).get("/api/prices")
    assert (len(answer.body["data"]), answer.body["has_more"]) == (500, True)


def test_an_unknown_provider_is_named(cast):
    answer = Api(token=cast.acme_token).get("/api/prices?provider=nobody")
    assert (answer.status, answer.pointers) == (400, ["?provider"])


@pytest.mark.parametrize("path", ["update", "rerate"])
def test_a_tenants_admin_does_not_change_what_requests_cost(cast, path):
    answer = Api(token=cast.acme_token).post(f"/api/prices/{path}", {"since": NOON.isoformat()})
    assert answer.status == 403
    assert "platform" in answer.body["detail"]


def test_taking_over_the_prices_that_are_in_force_changes_nothing(book, platform):
    answer = platform().post("/api/prices/update", {})
    assert answer.body == {"version": book.version, "is_new": False}


def test_requests_are_rated_again_by_the_prices_of_today(cast, book, stored, platform):
    found = rerate(platform("acme"))
    assert (found["looked_at"], found["changed"], found["unpriced"], found["next"]) == (3, 2, 1, "")
    assert (found["before_usd"], found["after_usd"]) == ("0.000000007", "2.00002")
    now = costs(cast, stored)
    assert now["public"] == (2_000_000_000, book.version)
    assert now["own"][0] == 20_000
    assert now["own"][1].startswith("channel:")
    assert now["gone"] == (3, "")
    assert now["silent"] == (None, "")


def test_rating_again_once_more_changes_nothing(cast, stored, platform):
    rerate(platform("acme"))
    assert rerate(platform("acme"))["changed"] == 0


def test_a_dry_run_tells_the_difference_and_changes_nothing(cast, stored, platform):
    before = costs(cast, stored)
    assert rerate(platform("acme"), dry_run=True)["changed"] == 2
    assert costs(cast, stored) == before


def test_what_was_rolled_up_follows(cast, stored, platform):
    rerate(platform("acme"))
    with tenant_scope(cast.acme.id):
        assert sum(row.cost_nano_usd for row in UsageQuarter.objects.all()) == 2_000_020_003
        assert sum(row.unpriced for row in UsageQuarter.objects.all()) == 0


def test_steps_go_on_where_the_last_one_ended(cast, stored, platform, monkeypatch):
    monkeypatch.setattr(prices_api, "STEP_ROWS", 2)
    first = rerate(platform("acme"))
    second = rerate(platform("acme"), after=first["next"])
    assert (first["looked_at"], second["looked_at"], second["next"]) == (2, 1, "")
    assert first["changed"] + second["changed"] == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"since": "soon"}, "/since"), ({"after": "nonsense"}, "/after"), ({"version": "none"}, "/version")],
)
def test_what_makes_no_sense_is_refused(cast, stored, platform, body, pointer):
    answer = platform("acme").post("/api/prices/rerate", {"since": NOON.isoformat()} | body)
    assert (answer.status, answer.pointers) == (400, [pointer])


def test_a_rival_is_not_rated_along(cast, stored, platform):
    assert rerate(platform("rival"))["looked_at"] == 0
    assert costs(cast, stored)["own"] == (7, "old")
