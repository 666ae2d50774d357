"""An answer told in a format and read in it is the same answer: whole, in pieces, and however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from routing.engine.answers import Collector
from routing.engine.messages import Text
from tests.routing.engine.translation import sdk, talking
from tests.routing.engine.translation.carries import CARRIES
from tests.routing.engine.translation.forms import answer_form, assert_same
from tests.routing.engine.translation.grammar import assert_clean
from tests.routing.engine.translation.profile import profile
from tests.routing.engine.translation.talking import CLIENTS, asked, cut, each, exchange, pieces
from tests.routing.engine.translation.tellings import answers, tellings
from tests.routing.engine.translation.welltyped import disorder, faults

#: The greatest part of a property's time goes into one byte at a time, so only short streams are cut that small.
SHORT = 6000


def collected(events):
    """Return the whole answer that a clean stream tells."""
    assert disorder(events) == []
    collector = Collector()
    collector.take(events)
    assert collector.failure is None
    assert collector.is_complete
    return collector.answer()


@pytest.mark.parametrize("name", CLIENTS)
def test_every_telling_of_an_answer_amounts_to_it(name):
    carries = CARRIES[name]

    @profile
    @given(answer=answers(carries), data=st.data())
    def holds(answer, data):
        back = collected(data.draw(tellings(answer)))
        assert_same(answer_form(back, carries), answer_form(answer, carries))
        assert (back.id, back.model, back.created_s) == (answer.id, answer.model, answer.created_s)

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_whole_answer_comes_back_as_it_was(name):
    carries = CARRIES[name]

    @profile
    @given(answer=answers(carries))
    def holds(answer):
        exchanging = exchange(asked(name, choices=len(answer.choices)), name)
        body = talking.client(name).encode_answer(answer, exchanging)
        back = talking.upstream(name).decode_answer(body, exchanging)
        assert faults(back) == []
        assert_same(answer_form(back, carries), answer_form(answer, carries))
        assert back.model == "asked-model"

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_whole_answer_is_one_for_the_official_sdk(name):
    @profile
    @given(answer=answers(CARRIES[name]))
    def holds(answer):
        exchanging = exchange(asked(name, choices=len(answer.choices)), name)
        sdk.whole(name, talking.client(name).encode_answer(answer, exchanging))

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_streamed_answer_comes_back_as_it_was_however_its_bytes_are_cut(name):
    carries = CARRIES[name]

    @profile
    @given(answer=answers(carries), data=st.data(), places=st.lists(st.integers(0, 5000), max_size=5))
    def holds(answer, data, places):
        events = data.draw(tellings(answer))
        exchanging = exchange(asked(name, choices=len(answer.choices), is_stream=True), name)
        body = talking.encoded(talking.client(name).stream_encoder(exchanging), events)
        assert_clean(name, body)
        expected = answer_form(answer, carries)
        sizes = (1, 7) if len(body) <= SHORT else (7,)
        for chunks in ([body], cut(body, places), *(pieces(body, size) for size in sizes)):
            told = talking.decoded(talking.upstream(name).stream_decoder(exchanging), chunks)
            assert_same(answer_form(collected(told), carries), expected)

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_the_official_sdk_reads_a_streamed_answer_to_its_end(name):
    @profile
    @given(answer=answers(CARRIES[name]), data=st.data())
    def holds(answer, data):
        events = data.draw(tellings(answer))
        exchanging = exchange(asked(name, choices=len(answer.choices), is_stream=True), name)
        body = talking.encoded(talking.client(name).stream_encoder(exchanging), events)
        read = sdk.accumulate(name, pieces(body, 97))
        assert read.error is None

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_pair_cut_in_two_between_deltas_is_joined(name):
    carries = CARRIES[name]
    # Characters that stand for the halves of 😀 until the bytes are made.
    high, low = "\ue0f0", "\ue0f1"

    @profile
    @given(answer=answers(carries, 1), data=st.data(), size=st.sampled_from((1, 7, 4096)))
    def holds(answer, data, size):
        marked = _with(answer, f"a{high}{low}b")
        events = [piece for event in data.draw(tellings(marked)) for piece in _halved(event, high)]
        exchanging = exchange(asked(name, is_stream=True), name)
        body = talking.encoded(talking.client(name).stream_encoder(exchanging), events)
        body = body.replace(high.encode(), b"\\ud83d").replace(low.encode(), b"\\ude00")
        told = talking.decoded(talking.upstream(name).stream_decoder(exchanging), pieces(body, size))
        assert_same(answer_form(collected(told), carries), answer_form(_with(answer, "a😀b"), carries))

    holds()


def _with(answer, text):
    """Return an answer of one choice that begins by saying something."""
    choice = answer.choices[0]
    return replace(answer, choices=(replace(choice, parts=(Text(text), *choice.parts)),))


def _halved(event, high):
    """Return a text delta cut after the first half of a pair."""
    text = getattr(event, "text", "")
    at = text.find(high) + 1
    return [replace(event, text=text[:at]), replace(event, text=text[at:])] if at and text[at:] else [event]
