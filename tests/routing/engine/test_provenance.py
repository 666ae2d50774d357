"""Opaque artefacts keep their origin on the way through a client."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from routing.engine.messages import Opaque, Origin
from routing.engine.provenance import family, may_hold_wrapper, unwrap, unwrap_bytes, wrap, wrap_bytes

ORIGIN = Origin("gemini", "vertex", "chn_01", "gemini-3")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="|"), max_size=30)


@given(blob=st.text(st.characters(codec="utf-8")), place=WORDS)
def test_what_is_wrapped_comes_out_the_same(blob, place):
    state = Opaque(blob, ORIGIN, place)
    assert unwrap(wrap(state)) == state
    assert unwrap_bytes(wrap_bytes(state)) == state


@given(st.text(st.characters(codec="utf-8")))
def test_what_was_never_wrapped_stays_as_it_is(text):
    assert unwrap(text).blob == text or text.startswith("rtx1:")
    assert unwrap_bytes(text).origin is None or may_hold_wrapper(text.encode())


def test_a_torn_wrapper_is_taken_for_nothing_of_ours():
    whole = wrap(Opaque("blob", ORIGIN))
    assert unwrap(whole[:-3] + "!!!") == Opaque(whole[:-3] + "!!!")
    assert unwrap(whole.rpartition(":")[0]).origin is None


def test_a_wrapper_in_a_body_is_seen_plain_and_in_base64():
    for place in range(3):
        state = Opaque("x" * place, ORIGIN)
        assert may_hold_wrapper(f'{{"signature":"{wrap(state)}"}}'.encode())
        assert may_hold_wrapper(f'{{"thoughtSignature":"{wrap_bytes(state)}"}}'.encode())
    assert not may_hold_wrapper(b'{"signature":"' + base64.b64encode(b"something else") + b'"}')


def test_a_state_of_unknown_origin_is_not_wrapped():
    assert wrap(Opaque("raw")) == "raw"
    assert wrap_bytes(Opaque("cmF3")) == "cmF3"


def test_a_family_has_neither_vendor_nor_variant_nor_date():
    assert family("gemini-3-pro-preview") == "gemini-3"
    assert family("google/gemini-2.5-flash-lite") == "gemini-2.5"
    assert family("gpt-5.6-luna") == "gpt-5.6"
    assert family("claude-sonnet-4-6-20260101") == "claude"
    assert family("") == ""
