"""OpenAI Responses as clients and upstreams speak it."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.codec import (
    ClientCodec,
    Exchange,
    StreamDecoder,
    StreamEncoder,
    UpstreamCodec,
    UpstreamFailure,
    Written,
)
from routing.engine.formats.openai_responses.request import decode_request, encode_request
from routing.engine.formats.openai_responses.response import decode_answer, decode_error, encode_answer
from routing.engine.formats.openai_responses.stream_decoder import ResponsesDecoder
from routing.engine.formats.openai_responses.stream_encoder import ResponsesEncoder
from routing.engine.formats.openai_responses.vocabulary import NAME, SHARED
from routing.engine.messages import ChatAnswer, ChatRequest


class OpenAIResponsesCodec(ClientCodec, UpstreamCodec):
    """OpenAI Responses, both directions."""

    name = NAME
    lacks = frozenset(
        {"top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "name", "citations"}
    )
    refuses = frozenset({"choices"})
    takes = SHARED
    searches = frozenset({"context_size", "place", "allowed_domains"})
    spelling = {
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "earlier_thinking": "reasoning",
        "thinking": "reasoning",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "custom_tool": "custom",
    }

    def decode_request(self, body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
        """Return the conversation of a request; see the contract."""
        return decode_request(body, model=model, is_stream=is_stream)

    def encode_answer(self, answer: ChatAnswer, exchange: Exchange) -> bytes:
        """Return the body of a whole answer; see the contract."""
        return encode_answer(answer, exchange)

    def stream_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return an encoder for the stream that answers this exchange."""
        return ResponsesEncoder(exchange)

    def operation(self, is_stream: bool) -> str:
        """Return the operation that answers a conversation."""
        return NAME

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request for the exchange's target; see the contract."""
        return encode_request(exchange)

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder for the stream that answers this exchange."""
        return ResponsesDecoder(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says; see the contract."""
        return decode_error(body, headers)
