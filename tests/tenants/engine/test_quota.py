"""Windows of quotas on the calendars of the world."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.engine.limits import QuotaSpec
from tenants.engine.quota import WINDOW_WORDS, amount_text, quota_name, reset_text, window_at

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "moment", "start", "end"),
    [
        ("day", "UTC", "2026-11-21T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("day", "UTC", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("day", "Asia/Tokyo", "2026-11-21T15:00:00Z", "2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z"),
        # Clocks go forward: a day of 23 hours; and back: one of 25.
        ("day", "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        # Midnight is skipped: the day begins with the change.
        ("day", "Asia/Beirut", "2024-03-31T05:00:00Z", "2024-03-30T22:00:00Z", "2024-03-31T21:00:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
        ("hour", "Asia/Kathmandu", "2026-01-01T00:20:00Z", "2026-01-01T00:15:00Z", "2026-01-01T01:15:00Z"),
        ("week", "UTC", "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("week", "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("month", "America/New_York", "2026-11-01T02:00:00Z", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"),
        ("month", "UTC", "2026-12-31T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("year", "Pacific/Auckland", "2026-12-31T12:00:00Z", "2026-12-31T11:00:00Z", "2027-12-31T11:00:00Z"),
    ],
)
def test_a_window_begins_and_ends_by_the_tenants_clock(window, zone, moment, start, end):
    assert window_at(window, zone, at(moment)) == (at(start), at(end))


def test_a_quota_for_ever_has_one_window():
    assert window_at("ever", "Europe/Berlin", 0) == window_at("ever", "UTC", 2e9) == (0, None)


def test_a_zone_that_is_not_known_here_is_utc():
    assert window_at("day", "Mars/Olympus", at("2026-11-21T12:00:00Z")).start_s == at("2026-11-21T00:00:00Z")


def test_a_window_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="fortnight"):
        window_at("fortnight", "UTC", 0)


@given(st.sampled_from(sorted(WINDOW_WORDS)), st.sampled_from(ZONES), st.integers(1_500_000_000, 2_100_000_000))
def test_every_moment_lies_in_exactly_one_window(window, zone, moment_s):
    span = window_at(window, zone, moment_s)
    assert span.holds(moment_s)
    if span.end_s is not None:
        assert window_at(window, zone, span.start_s) == window_at(window, zone, span.end_s - 1) == span
        assert window_at(window, zone, span.end_s).start_s == span.end_s


@pytest.mark.parametrize(
    ("kind", "amount", "text"),
    [
        ("usd", 50_000_000_000, "$50.00"),
        ("usd", 50_020_400_000, "$50.02"),
        ("usd", 1_234_567_000_000_000, "$1,234,567.00"),
        ("usd", 999_999_999, "$1.00"),
        ("usd", 144_000, "$0.000144"),
        ("usd", 0, "$0.00"),
        ("tokens", 5_000_000, "5,000,000 tokens"),
        ("requests", 7, "7 requests"),
    ],
)
def test_amounts_are_said_as_people_say_them(kind, amount, text):
    assert amount_text(kind, amount) == text


def test_a_quota_is_named_by_its_window_and_amount():
    assert quota_name(QuotaSpec(id="q", amount=50_000_000_000)) == "Monthly budget of $50.00"
    assert quota_name(QuotaSpec(id="q", kind="tokens", amount=9, window="day")) == "Daily quota of 9 tokens"


def test_a_reset_is_told_by_the_tenants_clock():
    assert reset_text(int(at("2026-12-01T00:00:00Z")), "UTC") == "Dec 1 00:00 UTC"
    assert reset_text(int(at("2026-11-30T23:00:00Z")), "Europe/Berlin") == "Dec 1 00:00 CET"
    assert reset_text(None, "UTC") == "never"
