"""A call's request in canonical form: decoded once, for rules and for all candidates."""

from __future__ import annotations

from routing.engine.call import Call
from routing.engine.formats import client_codec
from routing.engine.messages import ChatRequest
from routing.engine.operations import is_count


def conversation(call: Call) -> ChatRequest:
    """Return the call's request in canonical form.

    Raises:
        BadRequest: see `ClientCodec.decode_request`.
    """
    if call.conversation is None:
        codec, asked = client_codec(call.format.name), call.asked
        assert codec is not None and asked is not None
        if is_count(call.route.operation):
            call.conversation = codec.decode_count_request(call.body, model=asked.model)
        else:
            call.conversation = codec.decode_request(call.body, model=asked.model, is_stream=asked.is_stream)
    return call.conversation
