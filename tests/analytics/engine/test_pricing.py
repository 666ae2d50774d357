"""What a usage costs: exact, never negative, rounded once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analytics.engine.pricing import Price, Tier, cost, overridden, worst_cost
from analytics.engine.record import Usage
from channels_app.engine.rates import PriceOverride, Rates

USD_PER_MTOK = 1_000_000_000
SONNET = Price(
    Rates(
        input=3 * USD_PER_MTOK,
        output=15 * USD_PER_MTOK,
        cache_read=USD_PER_MTOK * 3 // 10,
        cache_write=USD_PER_MTOK * 375 // 100,
    )
)


def test_anthropic_reports_cached_input_beside_the_input() -> None:
    # 1000 plain + 200 read + 100 written is 1300 in all.
    usage = Usage(input_tokens=1300, output_tokens=500, cache_read_tokens=200, cache_write_tokens=100)
    assert cost(usage, SONNET) == 10_935_000


def test_openai_reports_cached_input_within_the_input() -> None:
    usage = Usage(input_tokens=1000, output_tokens=500, cache_read_tokens=200, cache_write_tokens=100)
    assert cost(usage, SONNET) == 10_035_000


def test_input_that_leaves_out_what_was_cached_never_counts_negative() -> None:
    usage = Usage(input_tokens=56_322, cache_read_tokens=72_960)
    assert cost(usage, SONNET) == 72_960 * 300


def test_half_a_nano_is_rounded_up_once() -> None:
    price = Price(Rates(input=500_000, output=500_000))
    assert cost(Usage(input_tokens=1), price) == 1
    assert cost(Usage(input_tokens=1, output_tokens=1), price) == 1
    assert cost(Usage(input_tokens=1), Price(Rates(input=499_999))) == 0


def test_kinds_without_a_rate_cost_what_they_are_a_part_of() -> None:
    price = Price(Rates(input=2_000_000, output=5_000_000))
    usage = Usage(
        input_tokens=100,
        cache_read_tokens=10,
        cache_write_tokens=20,
        cache_write_1h_tokens=5,
        input_audio_tokens=10,
        input_image_tokens=10,
        output_tokens=50,
        reasoning_tokens=20,
        output_audio_tokens=10,
    )
    assert cost(usage, price) == 100 * 2 + 50 * 5


def test_every_kind_is_charged_at_its_own_rate() -> None:
    rates = Rates(
        input=1_000_000,
        output=2_000_000,
        cache_read=3_000_000,
        cache_write=5_000_000,
        cache_write_1h=7_000_000,
        reasoning=11_000_000,
        input_audio=13_000_000,
        output_audio=17_000_000,
        input_image=19_000_000,
        output_image=23_000_000,
    )
    usage = Usage(
        input_tokens=1000 + 1 + 1 + 1 + 1 + 1,
        cache_read_tokens=1,
        cache_write_tokens=2,
        cache_write_1h_tokens=1,
        input_audio_tokens=1,
        input_image_tokens=1,
        output_tokens=1000 + 1 + 1 + 1,
        reasoning_tokens=1,
        output_audio_tokens=1,
        output_image_tokens=1,
        web_searches=2,
    )
    price = Price(rates, request_nano_usd=100_000, web_search_nano_usd=1_000_000)
    assert cost(usage, price) == 1000 + 3 + 5 + 7 + 13 + 19 + 2000 + 11 + 17 + 23 + 100_000 + 2_000_000


def test_a_prompt_above_a_tier_is_charged_at_it_whole() -> None:
    price = Price(Rates(1_000_000, 2_000_000), (Tier(200_000, Rates(3_000_000, 4_000_000)),))
    assert cost(Usage(input_tokens=200_000, output_tokens=10), price) == 200_020
    assert cost(Usage(input_tokens=200_001, output_tokens=10), price) == 600_043


def test_the_worst_case_rounds_up_and_takes_the_dearest_kinds() -> None:
    price = Price(Rates(1_000_000, 2_000_000, cache_write_1h=5_000_001, reasoning=9_000_000), request_nano_usd=7)
    assert worst_cost(1, 1, price) == 7 + 6 + 9


def test_an_override_may_multiply_its_own_rates_or_those_of_the_book() -> None:
    half_more = PriceOverride(model="m", multiplier_millionths=1_500_000)
    book = Price(Rates(2, 4, cache_read=1), (Tier(10, Rates(6, 8)),), 3, 5, "book-1")
    found = overridden(half_more, book)
    assert found is not None
    assert found.rates == Rates(3, 6, cache_read=2)
    assert found.tiers == (Tier(10, Rates(9, 12)),)
    assert (found.request_nano_usd, found.web_search_nano_usd) == (5, 8)
    assert found.version.startswith("book-1+channel:")
    assert overridden(half_more, None) is None


def test_an_override_of_another_content_has_another_version() -> None:
    first = overridden(PriceOverride(model="m", rates=Rates(1, 2)), None)
    second = overridden(PriceOverride(model="m", rates=Rates(1, 3)), None)
    assert first is not None and second is not None
    assert first.version != second.version


# --- what holds for every usage and price ------------------------------------------------------------------------

RATE = st.integers(0, 10**12)
PRICES = st.builds(
    Price,
    st.builds(Rates, RATE, RATE, *[st.none() | RATE] * 8),
    request_nano_usd=st.integers(0, 10**9),
    web_search_nano_usd=st.integers(0, 10**9),
)
TOKENS = st.integers(0, 10**7)


def usage_of(counts: list[int]) -> Usage:
    text, read, write_5m, write_1h, audio, image, out, reasoning, out_audio, out_image, searches = counts
    return Usage(
        input_tokens=text + read + write_5m + write_1h + audio + image,
        cache_read_tokens=read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_1h_tokens=write_1h,
        input_audio_tokens=audio,
        input_image_tokens=image,
        output_tokens=out + reasoning + out_audio + out_image,
        reasoning_tokens=reasoning,
        output_audio_tokens=out_audio,
        output_image_tokens=out_image,
        web_searches=searches,
    )


COUNTS = st.lists(TOKENS, min_size=11, max_size=11)


@given(st.lists(st.integers(0, 10**9), min_size=10, max_size=10), PRICES)
def test_a_cost_is_a_whole_number_and_never_negative(counts: list[int], price: Price) -> None:
    names = [name for name in Usage.__struct_fields__ if name.endswith("tokens")]
    found = cost(Usage(**dict(zip(names, counts, strict=True))), price)
    assert type(found) is int
    assert found >= 0


@given(COUNTS, COUNTS, PRICES)
def test_more_of_anything_never_costs_less(counts: list[int], more: list[int], price: Price) -> None:
    both = [a + b for a, b in zip(counts, more, strict=True)]
    assert cost(usage_of(both), price) >= cost(usage_of(counts), price)


@given(COUNTS, COUNTS, PRICES)
def test_two_requests_cost_what_one_with_all_their_tokens_does(
    counts: list[int], more: list[int], price: Price
) -> None:
    both = cost(usage_of([a + b for a, b in zip(counts, more, strict=True)]), price)
    apart = cost(usage_of(counts), price) + cost(usage_of(more), price) - price.request_nano_usd
    assert abs(both - apart) <= 1


@given(COUNTS, PRICES)
def test_the_worst_case_is_never_exceeded(counts: list[int], price: Price) -> None:
    usage = usage_of([*counts[:-1], 0])
    assert cost(usage, price) <= worst_cost(usage.input_tokens, usage.output_tokens, price)


def test_a_multiplier_works_on_the_whole() -> None:
    price = overridden(
        PriceOverride(model="m", rates=Rates(3 * USD_PER_MTOK, 0), multiplier_millionths=1_500_000), None
    )
    assert price is not None
    assert cost(Usage(input_tokens=1000), price) == 4_500_000
