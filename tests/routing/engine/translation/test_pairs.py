"""Any client over any upstream: whole and streamed agree, and a stream that breaks anywhere ends with an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine.answers import Collector, events_of
from tests.routing.engine.translation import endings, sdk, talking
from tests.routing.engine.translation.carries import CARRIES
from tests.routing.engine.translation.forms import answer_form, assert_same
from tests.routing.engine.translation.grammar import assert_clean, assert_error
from tests.routing.engine.translation.profile import profile
from tests.routing.engine.translation.talking import CLIENTS, asked, cut, each_pair, encoded, exchange, pieces
from tests.routing.engine.translation.tellings import answers, tellings


def fewest_choices(*names: str) -> int:
    return min(CARRIES[name].choices for name in names)


def upstream_exchange(upstream, answer, **fields):
    """Return the exchange of someone who speaks the upstream's format: their bytes are the upstream's."""
    return exchange(asked(upstream, choices=len(answer.choices), **fields), upstream)


def between(client, upstream, answer, **fields):
    """Return the translation of a client's request, already written, whose answer this will be."""
    translating = talking.translation(asked(client, choices=len(answer.choices), **fields), upstream)
    translating.write()
    return translating


def read_whole(client, body, answer):
    return talking.upstream(client).decode_answer(body, upstream_exchange(client, answer))


def read_stream(client, body, answer):
    exchanging = upstream_exchange(client, answer, is_stream=True)
    collector = Collector()
    collector.take(talking.decoded(talking.upstream(client).stream_decoder(exchanging), [body]))
    assert collector.is_complete
    assert collector.failure is None
    return collector.answer()


@pytest.mark.parametrize(("client", "upstream"), each_pair())
def test_an_answer_told_whole_and_as_a_stream_is_the_same_to_the_client(client, upstream):
    carries = CARRIES[client]

    @profile
    @given(
        answer=answers(CARRIES[upstream], fewest_choices(client, upstream)),
        data=st.data(),
        places=st.lists(st.integers(0, 5000), max_size=4),
    )
    def holds(answer, data, places):
        speaking = talking.client(upstream)
        whole = speaking.encode_answer(answer, upstream_exchange(upstream, answer))
        translating = between(client, upstream, answer)
        told_whole = translating.tell(translating.read(whole))

        events = data.draw(tellings(answer))
        streamed = encoded(speaking.stream_encoder(upstream_exchange(upstream, answer, is_stream=True)), events)
        reader = talking.reader_of(between(client, upstream, answer, is_stream=True))
        told_stream = talking.relayed(reader, cut(streamed, places))
        assert_clean(client, told_stream)

        one, other = read_whole(client, told_whole, answer), read_stream(client, told_stream, answer)
        assert_same(answer_form(other, carries), answer_form(one, carries))

    holds()


@pytest.mark.parametrize(("client", "upstream"), each_pair())
def test_a_stream_cut_anywhere_ends_with_an_error_unless_its_own_end_was_there(client, upstream):
    @profile
    @given(
        answer=answers(CARRIES[upstream], fewest_choices(client, upstream)),
        data=st.data(),
        at=st.floats(0, 1),
        size=st.sampled_from((1, 7, 4096)),
    )
    def holds(answer, data, at, size):
        events = data.draw(tellings(answer))
        exchanging = upstream_exchange(upstream, answer, is_stream=True)
        streamed = encoded(talking.client(upstream).stream_encoder(exchanging), events)
        streamed = streamed[: int(len(streamed) * at)]
        reader = talking.reader_of(between(client, upstream, answer, is_stream=True))
        told = talking.relayed(reader, pieces(streamed, size))
        if endings.is_whole(upstream, streamed, len(answer.choices)):
            assert_clean(client, told)
        else:
            assert_error(client, told)

    holds()


@pytest.mark.parametrize(("client", "upstream"), each_pair())
def test_the_official_sdk_raises_on_a_stream_that_broke(client, upstream):
    @profile
    @given(answer=answers(CARRIES[upstream], fewest_choices(client, upstream)), at=st.floats(0, 1))
    def holds(answer, at):
        exchanging = upstream_exchange(upstream, answer, is_stream=True)
        streamed = encoded(talking.client(upstream).stream_encoder(exchanging), events_of(answer))
        streamed = streamed[: int(len(streamed) * at)]
        reader = talking.reader_of(between(client, upstream, answer, is_stream=True))
        read = sdk.accumulate(client, [talking.relayed(reader, [streamed])])
        if endings.is_whole(upstream, streamed, len(answer.choices)):
            assert read.error is None
        else:
            assert read.is_error_in_band, repr(read.error)

    holds()


def test_every_pair_is_tried():
    assert len(each_pair()) == len(CLIENTS) ** 2
