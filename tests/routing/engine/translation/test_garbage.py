"""What no client or upstream should send: decoders refuse it in their own words, and never end well by mistake."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine.errors import BadRequest
from tests.routing.engine.translation import checks, mutations, samples, talking
from tests.routing.engine.translation.profile import profile
from tests.routing.engine.translation.talking import CLIENTS, UPSTREAMS, each

ODD_BODIES = (
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b"5",
    b'"text"',
    b"{}",
    b"<html>",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"error":null}',
    b'{"error":"text"}',
    b'{"error":{}}',
    b'{"error":{"message":null,"code":[],"type":{}}}',
    b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]',
)


@pytest.mark.parametrize("name", each(CLIENTS))
@pytest.mark.parametrize("body", ODD_BODIES, ids=repr)
def test_what_is_no_request_is_refused_in_a_sentence(name, body):
    checks.request_onwards(name, body)


@pytest.mark.parametrize("name", each(UPSTREAMS))
@pytest.mark.parametrize("body", ODD_BODIES, ids=repr)
def test_what_is_no_answer_is_a_value_error_or_an_empty_answer(name, body):
    checks.answer_onwards(name, body)
    checks.error(name, body)
    checks.stream(name, body)
    checks.stream_onwards(name, body)


@pytest.mark.parametrize("name", each(CLIENTS))
def test_requests_with_wrong_types_anywhere_are_refused_or_read(name):
    @profile
    @given(body=samples.requests(name).flatmap(mutations.wrong_types))
    def holds(body):
        checks.request_onwards(name, body)

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_refusal_of_a_wrong_type_names_the_member(name):
    @profile
    @given(body=samples.requests(name), data=st.data())
    def holds(body, data):
        path = data.draw(st.sampled_from([path for path in mutations.places(body) if path]))
        wrong = mutations.changed(body, path, data.draw(st.sampled_from(mutations.STRANGERS)))
        try:
            talking.client(name).decode_request(mutations.dump(wrong), model="m")
        except BadRequest as error:
            assert error.param
            assert error.param.startswith(str(path[0]))

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_torn_requests_are_refused_or_read(name):
    @profile
    @given(body=samples.requests(name).map(msgspec.json.encode).flatmap(mutations.torn))
    def holds(body):
        checks.request_onwards(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_answers_with_wrong_types_anywhere_are_refused_or_read(name):
    @profile
    @given(body=samples.answers(name).flatmap(mutations.wrong_types))
    def holds(body):
        checks.answer_onwards(name, body)
        checks.error(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_torn_answers_are_refused_or_read(name):
    @profile
    @given(body=samples.answers(name).map(msgspec.json.encode).flatmap(mutations.torn))
    def holds(body):
        checks.answer_onwards(name, body)
        checks.error(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_streams_with_strange_events_end_well_only_where_they_may(name):
    @profile
    @given(body=samples.streams(name).flatmap(mutations.spliced))
    def holds(body):
        checks.stream(name, body)
        checks.stream_onwards(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_torn_streams_end_well_only_where_they_may(name):
    @profile
    @given(body=samples.streams(name).flatmap(mutations.torn))
    def holds(body):
        checks.stream(name, body)
        checks.stream_onwards(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_garbage_never_ends_well(name):
    @profile
    @given(
        body=st.one_of(
            st.binary(max_size=60), st.lists(st.sampled_from(mutations.ODD_EVENTS), max_size=4).map(b"".join)
        )
    )
    def holds(body):
        checks.stream(name, body)
        checks.stream_onwards(name, body)

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_an_event_that_is_no_json_ends_a_stream_with_an_error(name):
    @profile
    @given(body=samples.streams(name), data=st.data())
    def holds(body, data):
        events = mutations.blocks(body)
        events.insert(data.draw(st.integers(0, 1)), b'data: {"torn": \n\n')
        told = checks.stream(name, b"".join(events))
        assert checks.collected(told)[2]

    holds()


@pytest.mark.parametrize("name", each(UPSTREAMS))
def test_a_plain_answer_in_place_of_a_stream_is_read_or_refused(name):
    @profile
    @given(body=samples.answers(name))
    def holds(body):
        checks.stream_onwards(name, msgspec.json.encode(body))
        checks.stream(name, json.dumps(body, indent=1).encode())

    holds()
