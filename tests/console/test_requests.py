"""The request list without a browser: rows, filters, paging, exports, the page of one request, and whose they are."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.engine.record import AttemptRecord, Usage
from channels_app.services import channel_create
from routex_site.console.rows import duration_text, money_text, tone_of
from tenants.context import tenant_scope
from tenants.models import ConfigState
from tests.console.conftest import make_record

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/t/acme/requests/"


@pytest.fixture
def alice(cast, at_console):
    return at_console(cast.alice)


def ids(page: str) -> list[str]:
    return re.findall(r'data-testid="row" data-id="(req_[^"]+)"', page)


def test_the_newest_fifty_come_first_and_older_ones_follow_without_gap_or_double(cast, alice, stored):
    records = [make_record(cast.acme.id, number) for number in range(60)]
    stored(*records)
    first = alice.get(LIST).content.decode()
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = alice.get(LIST + older.replace("&amp;", "&")).content.decode()
    assert ids(first) + ids(second) == [record.id for record in reversed(records)]
    assert len(ids(first)) == 50
    assert 'id="live"' in first
    assert 'id="live"' not in second


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=5", {"broken"}),
        ("status=4", {"refused"}),
        ("outcome=refused", {"refused"}),
        ("model=gpt-5.6-mini", {"usual", "broken", "refused"}),
        ("model=claude-sonnet-5", {"claude"}),
        ("channel=anthropic-eu", {"claude"}),
        ("channel=anthropic-eu&status=5", set()),
        ("status=nonsense&outcome=nonsense", {"usual", "broken", "refused", "claude"}),
    ],
)
def test_filters_narrow_the_list_and_its_exports_alike(cast, alice, stored, query, expected):
    records = {
        "usual": make_record(cast.acme.id, 1),
        "broken": make_record(cast.acme.id, 2, status=502, outcome="failed", error_code="upstream_error"),
        "refused": make_record(cast.acme.id, 3, status=429, outcome="refused"),
        "claude": make_record(cast.acme.id, 4, channel_slug="anthropic-eu", upstream_model="claude-sonnet-5"),
    }
    stored(*records.values())
    wanted = {records[name].id for name in expected}
    page = alice.get(f"{LIST}?{query}").content.decode()
    assert set(ids(page)) == wanted
    assert {row["id"] for row in json.loads(alice.get(f"{LIST}?{query}&format=json").content)} == wanted
    if not expected:
        assert "Clear filters" in page
        assert 'data-state="empty"' in page


def test_exports_agree_and_no_cell_is_a_formula(cast, alice, stored):
    stored(
        make_record(cast.acme.id, 1, asked_model="=HYPERLINK(1)", key_slug="@x"),
        make_record(cast.acme.id, 2, usage=Usage(input_tokens=12, output_tokens=3)),
    )
    answer = alice.get(f"{LIST}?format=csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    table = list(csv.DictReader(io.StringIO(answer.content.decode())))
    rows = json.loads(alice.get(f"{LIST}?format=json").content)
    lines = [json.loads(line) for line in alice.get(f"{LIST}?format=ndjson").content.splitlines()]
    assert rows == lines
    assert [row["id"] for row in rows] == [row["id"] for row in table]
    assert (table[1]["asked_model"], table[1]["key_slug"]) == ("'=HYPERLINK(1)", "'@x")
    assert (table[0]["input_tokens"], table[1]["input_tokens"]) == ("12", "")
    assert table[0]["started_at"] == "2026-03-01T12:00:02+00:00"


def test_an_unknown_export_or_place_in_the_list_is_not_found(cast, alice):
    assert alice.get(f"{LIST}?format=xlsx").status_code == 404
    assert alice.get(f"{LIST}?before=nonsense").status_code == 404


def test_an_empty_list_shows_the_next_step_and_a_line_to_copy(cast, alice):
    page = alice.get(LIST).content.decode()
    assert 'data-state="empty"' in page
    assert "Add a channel" in page
    assert "/v1/chat/completions" in page
    with tenant_scope(cast.acme.id):
        channel = channel_create(tenant_id=cast.acme.id, slug="first", provider="echo", served_models=["echo"])
    try:
        page = alice.get(LIST).content.decode()
        assert "&quot;model&quot;:&quot;echo&quot;" in page or '"model":"echo"' in page
    finally:
        with tenant_scope(cast.acme.id):
            channel.delete()


def test_texts_of_callers_are_shown_as_text(cast, alice, stored):
    stored(make_record(cast.acme.id, 1, asked_model="<script>alert(1)</script>", key_slug='"><img src=x>'))
    page = alice.get(LIST).content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x>" not in page


def test_the_page_of_a_request_shows_all_its_attempts(cast, alice, stored):
    attempts = (
        AttemptRecord(channel="first", credential="main", status=529, reason="overloaded", detail="Overloaded"),
        AttemptRecord(channel="second", status=None, reason="timeout", detail="No first byte within 60 s."),
        AttemptRecord(channel="third", status=200, duration_ms=812.0),
    )
    record = make_record(cast.acme.id, 1, attempts=attempts, user_agent="OpenAI/Python", error_message="Why it failed")
    stored(record)
    page = alice.get(f"{LIST}{record.id}/").content.decode()
    assert page.count('data-testid="attempt"') == 3
    for text in ("529 overloaded", "No first byte within 60 s.", "third", "OpenAI/Python", "Why it failed", record.id):
        assert text in page


def test_a_cost_is_shown_short_and_exact_and_an_unknown_one_never_as_nothing(cast, alice, stored):
    usage = Usage(input_tokens=1300, output_tokens=500, cache_write_1h_tokens=1200, is_estimated=True)
    priced = make_record(cast.acme.id, 2, usage=usage, cost_nano_usd=10_935_000, price_version="book-7")
    unpriced = make_record(cast.acme.id, 1, usage=usage)
    stored(priced, unpriced)
    page = alice.get(LIST).content.decode()
    assert '<data data-cell="cost" value="0.010935">$0.0109</data>' in page
    assert '<data data-cell="cost" value="">–</data>' in page
    table = list(csv.DictReader(io.StringIO(alice.get(f"{LIST}?format=csv").content.decode())))
    assert [row["cost_usd"] for row in table] == ["0.010935", ""]
    detail = alice.get(f"{LIST}{priced.id}/").content.decode()
    for text in ("0.010935", "book-7", "Cache write 1h tokens", "1,200", "an estimate"):
        assert text in detail
    assert "unknown: there is no price for gpt-5.6-mini" in alice.get(f"{LIST}{unpriced.id}/").content.decode()


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, ""),
        ("0.00", "$0.00"),
        ("0.000000001", "$0.000000001"),
        ("0.0000123456", "$0.0000123"),
        ("0.010935", "$0.0109"),
        ("0.10", "$0.10"),
        ("0.9999", "$1.00"),
        ("1.005", "$1.01"),
        ("1234567.891", "$1,234,567.89"),
    ],
)
def test_money_is_shown_to_the_cent_or_with_three_digits(usd, shown):
    assert money_text(usd) == shown


def test_requests_of_another_tenant_are_not_there(cast, alice, at_console, stored):
    record = make_record(cast.rival.id, 1, asked_model="xrivalx")
    stored(record)
    assert "xrivalx" not in alice.get(LIST).content.decode()
    assert "xrivalx" not in alice.get(f"{LIST}?format=json").content.decode()
    assert alice.get(f"{LIST}{record.id}/").status_code == 404
    charlie = at_console(cast.charlie)
    assert "xrivalx" in charlie.get("/t/rival/requests/").content.decode()
    assert charlie.get(LIST).status_code == 404


def test_a_configuration_that_cannot_be_used_is_said_on_every_page(cast, alice):
    def note(failure: str) -> None:
        with tenant_scope(cast.acme.id):
            ConfigState.objects.filter(pk=cast.acme.id).update(failure=failure)

    note("Channel main: no such provider.")
    try:
        for path in (LIST, "/t/acme/admin/"):
            assert "Channel main: no such provider." in alice.get(path).content.decode()
    finally:
        note("")
    assert "not in use" not in alice.get(LIST).content.decode()


def test_the_list_keeps_within_its_budget_of_queries_and_bytes(cast, alice, stored):
    stored(*(make_record(cast.acme.id, number) for number in range(60)))
    with CaptureQueriesContext(connection) as captured:
        answer = alice.get(LIST)
    assert len([query for query in captured if " FROM " in query["sql"]]) <= 12
    assert len(gzip.compress(answer.content)) < 60_000


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (None, ""),
        (0, "0.0 ms"),
        (1.25, "1.3 ms"),
        (9.96, "10 ms"),
        (842.5, "843 ms"),
        (999.5, "1.00 s"),
        (1125, "1.13 s"),
        (59_996, "1 m 0 s"),
        (72_400, "1 m 12 s"),
    ],
)
def test_durations_read_with_about_three_digits(duration_ms, text):
    assert duration_text(duration_ms) == text


@pytest.mark.parametrize(
    ("outcome", "status", "tone"),
    [
        ("answered", 200, "ok"),
        ("answered", 404, "warn"),
        ("refused", 429, "warn"),
        ("failed", 502, "bad"),
        ("cut", 200, "bad"),
        ("gone", 499, "muted"),
    ],
)
def test_every_outcome_has_its_tone(outcome, status, tone):
    assert tone_of(outcome, status) == tone


def test_a_request_tells_why_it_went_where_it_went(cast, alice, stored):
    decision = {
        "asked_model": "smart",
        "model": "gpt-5.6",
        "by": "rule:long",
        "rule": "long",
        "strategy": "weighted",
        "input_tokens": 70_000,
        "rules": [
            {"rule": "short", "measured": "70000 words, at most 10"},
            {"rule": "gone", "is_match": True, "skipped": "channel `old` is switched off"},
            {
                "rule": "long",
                "is_match": True,
                "measured": "70000 tokens, at least 60000",
                "passed_over": "there is no channel `gone`",
            },
        ],
        "candidates": [{"channel": "a", "rank": 1, "number": "weight 3"}, {"channel": "b", "dropped": "breaker open"}],
        "spends": [{"name": "60 requests/min of key ci", "asked": 1, "left": 59}],
    }
    record = make_record(cast.acme.id, 1, decision=decision)
    stored(record)
    page = alice.get(f"{LIST}{record.id}/").content.decode()
    assert page.count('data-testid="rule"') == 3
    assert "70000 tokens, at least 60000; some of its targets cannot serve: there is no channel `gone`" in page
    assert "yes, skipped" in page and "channel `old` is switched off" in page
    assert "Rule `long` sent `smart` to `gpt-5.6`." in page and "weight 3" in page and "breaker open" in page
    assert "60 requests/min of key ci" in page


def test_a_request_without_a_decision_has_no_such_part(cast, alice, stored):
    record = make_record(cast.acme.id, 1)
    stored(record)
    assert 'data-testid="decision"' not in alice.get(f"{LIST}{record.id}/").content.decode()
