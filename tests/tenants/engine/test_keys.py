"""Keys: their form, their checksum, and what people paste instead."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.engine import keys
from tenants.engine.ids import is_id, new_id


def test_a_minted_key_is_well_formed_and_matches_the_scanner_pattern():
    key = keys.mint()
    assert keys.is_well_formed(key)
    assert len(key) == 4 + 38 and key[4:].isalnum()


def test_the_checksum_is_crc32_in_base_62_most_significant_first():
    body = "0" * 32
    value = zlib.crc32(body.encode())
    digits = []
    while value:
        value, digit = divmod(value, 62)
        digits.append(keys.ALPHABET[digit])
    assert keys.checksum(body) == "".join(reversed(digits)).rjust(6, "0")


@given(st.integers(min_value=4, max_value=41), st.sampled_from(keys.ALPHABET))
def test_changing_any_one_character_breaks_the_key(place, char):
    key = "rtx_" + "a1B2c3D4" * 4 + keys.checksum("a1B2c3D4" * 4)
    changed = key[:place] + char + key[place + 1 :]
    assert keys.is_well_formed(changed) == (changed == key)


@given(st.text(max_size=60))
def test_any_text_is_judged_without_an_error(text):
    assert keys.is_well_formed(text) in {True, False}
    assert len(keys.digest(text)) == 32


def test_a_management_token_is_no_gateway_key():
    token = keys.mint(keys.MANAGEMENT_TOKEN)
    assert not keys.is_well_formed(token)
    assert keys.is_well_formed(token, keys.MANAGEMENT_TOKEN)


@pytest.mark.parametrize(
    ("key", "owner"),
    [("sk-ant-api03-x", "an Anthropic key"), ("sk-proj-x", "an OpenAI key"), ("AIzaSy", "a Google key")],
)
def test_a_key_of_another_service_is_recognised(key, owner):
    assert keys.foreign_owner(key) == owner


def test_the_display_prefix_tells_little_of_the_key():
    key = keys.mint()
    assert keys.display_prefix(key) == key[:8]


def test_ids_carry_their_kind_and_sort_by_time():
    first = new_id("req")
    assert is_id(first, "req") and not is_id(first, "key")
    assert len({new_id("req") for _ in range(1000)}) == 1000
