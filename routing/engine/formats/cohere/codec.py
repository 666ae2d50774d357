"""Cohere's chat API: the codec object."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.codec import Exchange, StreamDecoder, UpstreamCodec, UpstreamFailure, Written
from routing.engine.failures import asked_wait_s, said_in
from routing.engine.formats.cohere.request import encode_request
from routing.engine.formats.cohere.response import decode_answer
from routing.engine.formats.cohere.stream import ChatEvents
from routing.engine.messages import ChatAnswer


class CohereCodec(UpstreamCodec):
    """`/v2/chat`: a JSON answer, or named events."""

    name = "cohere"
    lacks = frozenset(
        {
            "citations",
            "custom_tools",
            "logit_bias",
            "metadata",
            "name",
            "parallel_tool_calls",
            "user",
            "verbosity",
        }
    )
    #: Log probabilities come per piece of text with its tokens' numbers, never with their texts.
    refuses = frozenset({"choices", "logprobs"})
    takes = frozenset({"citation_options", "documents", "safety_mode"})

    def operation(self, is_stream: bool) -> str:
        """Return the one operation: the body says whether a stream is wanted."""
        return self.name

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request; see the contract."""
        return encode_request(exchange)

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of named events."""
        return ChatEvents(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what `{"message": "…"}` says."""
        message, code, _ = said_in(body)
        return UpstreamFailure(message, code, retry_after_s=asked_wait_s(headers))
