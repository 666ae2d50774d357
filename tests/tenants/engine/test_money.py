"""Money: text outside, integers inside, nothing lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.engine.money import MAX_NANO, nano_usd, usd_text


@given(st.integers(0, MAX_NANO))
def test_every_amount_survives_the_way_out_and_in(nano):
    assert nano_usd(usd_text(nano)) == nano


@pytest.mark.parametrize(("text", "nano"), [("50.00", 50 * 10**9), ("0.000000001", 1), (3, 3 * 10**9), ("1e2", 10**11)])
def test_an_amount_becomes_nano_usd(text, nano):
    assert nano_usd(text) == nano


@pytest.mark.parametrize("text", ["", "x", "-0.01", "NaN", "Infinity", "0.0000000005", "9223372036.854775808", "1e999"])
def test_what_is_no_exact_amount_is_refused(text):
    with pytest.raises(ValueError, match=r"USD|between|decimal places"):
        nano_usd(text)


def test_an_amount_is_told_with_at_least_two_places():
    assert [usd_text(nano) for nano in (0, 1, 10**8, 12_340_000_000)] == ["0.00", "0.000000001", "0.10", "12.34"]
