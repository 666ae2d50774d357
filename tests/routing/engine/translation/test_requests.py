"""A request written for an upstream of its own format is the same request; for another, one that is read and stays."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from tests.routing.engine.translation import samples, talking
from tests.routing.engine.translation.carries import CARRIES
from tests.routing.engine.translation.conversations import requests
from tests.routing.engine.translation.forms import assert_same, request_form
from tests.routing.engine.translation.profile import profile
from tests.routing.engine.translation.talking import CLIENTS, each, each_pair


def in_order(body):
    """Return a body as it is read, with lists whose order says nothing sorted."""
    read = msgspec.json.decode(msgspec.json.encode(body))
    return {**read, "include": sorted(read["include"])} if "include" in read else read


@pytest.mark.parametrize("name", each(CLIENTS))
def test_a_request_comes_back_from_its_own_format_as_it_was(name):
    carries = CARRIES[name]

    @profile
    @given(asked=requests(carries))
    def holds(asked):
        translating = talking.translation(asked, name, talking.permissive(asked))
        body = msgspec.json.encode(translating.write().body)
        back = talking.client(name).decode_request(body, model=asked.model, is_stream=asked.is_stream)
        assert_same(request_form(back, carries), request_form(asked, carries))
        assert translating.exchange.losses.codes == ()

    holds()


@pytest.mark.parametrize(("client", "upstream"), each_pair())
def test_what_is_written_for_an_upstream_is_read_and_written_the_same_again(client, upstream):
    reader = talking.client(upstream)

    @profile
    @given(asked=requests(CARRIES[client]))
    def holds(asked):
        can = talking.permissive(asked)
        try:
            written = talking.translation(asked, upstream, can).write().body
        except BadRequest as error:
            assert error.message
            return
        body = msgspec.json.encode(written)
        read = reader.decode_request(body, model=asked.model, is_stream=asked.is_stream)
        # A second hop must find nothing to change: what was fitted once fits.
        again = talking.translation(replace(read, model=asked.model), upstream, can).write().body
        assert_same(in_order(again), in_order(written))

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_what_clients_may_leave_out_or_send_as_null_is_not_asked_for(name):
    @profile
    @given(asked=requests(CARRIES[name]), data=st.data())
    def holds(asked, data):
        body = talking.translation(asked, name, talking.permissive(asked)).write().body
        said = [member for member, value in body.items() if value is not None]
        nulls = data.draw(st.sets(st.sampled_from(("temperature", "tools", "metadata", "seed", "user"))))
        extra = {member: None for member in nulls if member not in said}
        read = talking.client(name).decode_request(
            msgspec.json.encode({**body, **extra}), model=asked.model, is_stream=asked.is_stream
        )
        plain = talking.client(name).decode_request(
            msgspec.json.encode(body), model=asked.model, is_stream=asked.is_stream
        )
        assert read == plain

    holds()


@pytest.mark.parametrize("name", each([name for name in CLIENTS if name != "openai-chat"]))
def test_no_request_of_another_format_is_taken_for_a_chat_completions_one(name):
    @profile
    @given(body=samples.requests(name))
    def holds(body):
        assert not talking.client("openai-chat").recognises(msgspec.json.encode(body))

    holds()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'{"messages":5,"tools":{}}', b'{"messages":[1,[],{"role":[]}]}']
)
def test_what_is_no_request_is_not_taken_for_a_chat_completions_one(body):
    assert not talking.client("openai-chat").recognises(body)
