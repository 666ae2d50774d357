"""A call's request in canonical form: decoded once, for rules and for all candidates."""

from __future__ import annotations

from routing.engine.call import Call
from routing.engine.codec import ClientCodec
from routing.engine.formats import CODECS, client_codec
from routing.engine.messages import ChatRequest
from routing.engine.operations import is_count


def spelt_as(call: Call) -> ClientCodec:
    """Return the format in which a call's body is written: its path's, but for counts of others.

    Clients of a format without a count ask at another's path, with the body they have (BerriAI/litellm#26324).
    """
    own = client_codec(call.format.name)
    assert own is not None
    if is_count(call.route.operation):
        for codec in (client_codec(name) for name in CODECS):
            if codec is not None and codec is not own and codec.recognises(call.body):
                return codec
    return own


def conversation(call: Call) -> ChatRequest:
    """Return the call's request in canonical form.

    Raises:
        BadRequest: see `ClientCodec.decode_request`.
    """
    if call.conversation is None:
        codec, asked = spelt_as(call), call.asked
        assert asked is not None
        if is_count(call.route.operation):
            call.conversation = codec.decode_count_request(call.body, model=asked.model)
        else:
            call.conversation = codec.decode_request(call.body, model=asked.model, is_stream=asked.is_stream)
    return call.conversation
