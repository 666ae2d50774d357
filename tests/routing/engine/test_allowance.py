"""What rate-limit headers of providers say."""

import pytest

from routing.engine.allowance import Allowance, allowance, retry_after_s

NOW_S = 1_772_366_400.0  # 2026-03-01 12:00:00 UTC


def told(**headers):
    given = [(name.replace("_", "-").encode(), str(value).encode("latin-1")) for name, value in headers.items()]
    return allowance(given, NOW_S)


def unified(window, **fields):
    prefix = "anthropic_ratelimit_unified_" + (f"{window}_" if window else "")
    return {prefix + name: value for name, value in fields.items()}


TABLE = {
    "nothing": ({"content_type": "x", "x_request_id": "1"}, None),
    "openai, some left": (
        {"x_ratelimit_limit_requests": 60, "x_ratelimit_remaining_requests": 15, "x_ratelimit_reset_requests": "1s"},
        Allowance(0.25),
    ),
    "openai, the scarcest counts": (
        {
            "x_ratelimit_limit_requests": 60, "x_ratelimit_remaining_requests": 60,
            "x_ratelimit_limit_tokens": 1000, "x_ratelimit_remaining_tokens": 100,
        },
        Allowance(0.1),
    ),
    "openai, none left": (
        {"x_ratelimit_limit_tokens": 9, "x_ratelimit_remaining_tokens": 0, "x_ratelimit_reset_tokens": "6m0s"},
        Allowance(0.0, 360.0),
    ),
    "openai, milliseconds": (
        {"x_ratelimit_remaining_requests": 0, "x_ratelimit_reset_requests": "12ms"}, Allowance(0.0, 0.012)
    ),
    "groq, hours and halves": (
        {"x_ratelimit_remaining_requests": 0, "x_ratelimit_reset_requests": "1h2m3.5s"}, Allowance(0.0, 3723.5)
    ),
    "cerebras, by the day": (
        {"x_ratelimit_remaining_requests_day": 0, "x_ratelimit_reset_requests_day": "33011.38"},
        Allowance(0.0, 33011.38),
    ),
    "openrouter, milliseconds since the epoch": (
        {"x_ratelimit_limit": 10, "x_ratelimit_remaining": 0, "x_ratelimit_reset": int((NOW_S + 30) * 1000)},
        Allowance(0.0, 30.0),
    ),
    "github, seconds since the epoch": (
        {"x_ratelimit_remaining": 0, "x_ratelimit_reset": int(NOW_S + 40)}, Allowance(0.0, 40.0)
    ),
    "anthropic, some left": (
        {"anthropic_ratelimit_tokens_limit": 100, "anthropic_ratelimit_tokens_remaining": 50,
         "anthropic_ratelimit_tokens_reset": "2026-03-01T12:01:00Z"},
        Allowance(0.5),
    ),
    "anthropic, none left": (
        {"anthropic_ratelimit_input_tokens_limit": 100, "anthropic_ratelimit_input_tokens_remaining": 0,
         "anthropic_ratelimit_input_tokens_reset": "2026-03-01T12:01:00Z"},
        Allowance(0.0, 60.0),
    ),
    "subscription, allowed": (unified("5h", status="allowed", utilization="0.25", reset=NOW_S + 100), Allowance(0.75)),
    "subscription, five hours used up": (
        unified("5h", status="rejected", utilization="1.0", reset=int(NOW_S + 9000))
        | unified("7d", status="allowed", utilization="0.4", reset=int(NOW_S + 400_000)),
        Allowance(0.0, 9000.0),
    ),
    "subscription, seven days used up": (unified("7d", status="rejected", reset=int(NOW_S + 400_000)),
                                         Allowance(0.0, 400_000.0)),
    "subscription, beyond it is paid": (
        unified("5h", status="allowed_warning", utilization="1.02", reset=int(NOW_S + 9000)), Allowance(0.0)
    ),
    "subscription, paying beyond is refused": (
        unified("", status="allowed") | unified("overage", status="rejected"), Allowance(1.0)
    ),
    "refused without a time": (unified("", status="rejected"), Allowance(0.0, 60.0)),
    "none left, no time": ({"x_ratelimit_remaining_requests": 0}, Allowance(0.0)),
    # --- hostile ---
    "a reset beyond its window": (unified("5h", status="rejected", reset="99999999999"), Allowance(0.0, 18_000.0)),
    "a reset beyond a day": (
        {"x_ratelimit_remaining_tokens": 0, "x_ratelimit_reset_tokens": "9999h"}, Allowance(0.0, 86_400.0)
    ),
    "a reset in the past": (
        {"anthropic_ratelimit_tokens_remaining": 0, "anthropic_ratelimit_tokens_reset": "2020-01-01T00:00:00Z"},
        Allowance(0.0),
    ),
    "not a number": ({"x_ratelimit_limit_tokens": "nan", "x_ratelimit_remaining_tokens": "inf"}, Allowance(1.0)),
    "negative": ({"x_ratelimit_remaining_tokens": "-5", "x_ratelimit_reset_tokens": "-5s"}, Allowance(1.0)),
    "more than the limit": ({"x_ratelimit_limit_tokens": 10, "x_ratelimit_remaining_tokens": 99}, Allowance(1.0)),
    "limit zero": ({"x_ratelimit_limit_tokens": 0, "x_ratelimit_remaining_tokens": 5}, Allowance(1.0)),
    "endless": ({"x_ratelimit_remaining_tokens": "0" * 100_000}, None),
    "no words": ({"x_ratelimit_remaining_tokens": 0, "x_ratelimit_reset_tokens": "soon \xff"}, Allowance(0.0)),
    "no field": ({"x_ratelimit_": 1, "anthropic_ratelimit_": 2, "anthropic_ratelimit_x": 3}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", list(TABLE))
def test_headers_say_what_is_left_and_how_long_to_rest(case):
    headers, expected = TABLE[case]
    found = told(**headers)
    if expected is None:
        assert found is None
    else:
        assert (found.left, found.rest_s) == (pytest.approx(expected.left), pytest.approx(expected.rest_s))


def test_names_count_in_any_case():
    assert allowance([(b"X-RateLimit-Remaining-Tokens", b"0")], NOW_S) == Allowance(0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7.0),
        ({b"Retry-After": b"1.5"}, 1.5),
        ({b"retry-after": b"7", b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after": b"Sun, 01 Mar 2026 12:00:20 GMT"}, 20.0),
        ({b"retry-after": b"Sun, 01 Mar 2020 12:00:20 GMT"}, 0.0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"-3"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"\xff" * 50}, None),
        ({b"retry-after": b"Sun, 99 Foo 9999999 12:00:20 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers, seconds):
    assert retry_after_s(headers.items(), NOW_S) == seconds
