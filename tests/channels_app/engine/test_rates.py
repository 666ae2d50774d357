"""A channel's own prices as values, in the order in which they are looked through."""

from __future__ import annotations

import pytest

from channels_app.engine.rates import Rates, read_overrides
from routing.engine.document import ChannelSpec

DAY_S = 86_400
#: 2026-01-31 00:00 UTC
FROM_S = 1_769_817_600


def test_amounts_become_nano_usd_per_million_tokens() -> None:
    [found] = read_overrides(
        {
            "m": {
                "input_usd_per_mtok": "1.25",
                "output_usd_per_mtok": "10",
                "cache_read_usd_per_mtok": "0.125",
                "web_search_usd": "0.01",
                "request_usd": "0.002",
                "multiplier": "0.8",
            }
        }
    )
    assert found.rates == Rates(1_250_000_000, 10_000_000_000, cache_read=125_000_000)
    assert (found.web_search_nano_usd, found.request_nano_usd) == (10_000_000, 2_000_000)
    assert found.multiplier_millionths == 800_000


def test_a_day_begins_in_utc_and_a_time_where_it_says() -> None:
    days = read_overrides({"m": {"multiplier": "1", "from": "2026-01-31"}})
    times = read_overrides({"m": {"multiplier": "1", "from": "2026-01-31T08:00:00+08:00"}})
    assert days[0].from_s == times[0].from_s == FROM_S


@pytest.mark.parametrize(
    ("model", "at_s", "factor"),
    [
        ("m", FROM_S - 1, 1),
        ("m", FROM_S, 2),
        ("m", FROM_S + DAY_S, 3),
        ("m-large", FROM_S, 4),
        ("other", FROM_S, 5),
        ("other", 0, None),
    ],
)
def test_names_go_before_globs_and_the_newest_price_that_has_begun_counts(model, at_s, factor) -> None:
    prices = read_overrides(
        {
            "m*": {"multiplier": "4"},
            "*": {"multiplier": "5", "from": "2026-01-31"},
            "m": [
                {"multiplier": "1"},
                {"multiplier": "3", "from": "2026-02-01"},
                {"multiplier": "2", "from": "2026-01-31"},
            ],
        }
    )
    channel = ChannelSpec(id="c", slug="c", provider="echo", base_url="", prices=prices)
    found = channel.price_override(model, at_s)
    assert (found and found.multiplier_millionths) == (factor and factor * 1_000_000)


def test_multiplied_rates_are_rounded_half_up() -> None:
    assert Rates(1, 3, cache_read=None, cache_write=0).times(1_500_000) == Rates(2, 5, cache_write=0)
