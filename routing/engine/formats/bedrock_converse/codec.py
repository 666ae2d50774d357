"""Converse: the codec object."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.codec import Exchange, StreamDecoder, UpstreamCodec, UpstreamFailure, Written
from routing.engine.eventstream import read_refusal
from routing.engine.formats.bedrock_converse.request import encode_request
from routing.engine.formats.bedrock_converse.response import decode_answer
from routing.engine.formats.bedrock_converse.stream import ConverseFrames
from routing.engine.messages import ChatAnswer


class BedrockConverseCodec(UpstreamCodec):
    """`/model/{id}/converse`: the model and the wish for a stream stand in the path."""

    name = "bedrock-converse"
    lacks = frozenset(
        {
            "custom_tools",
            "detail",
            "frequency_penalty",
            "logit_bias",
            "name",
            "parallel_tool_calls",
            "presence_penalty",
            "seed",
            "user",
            "verbosity",
        }
    )
    refuses = frozenset({"choices", "logprobs"})
    media = frozenset({"image", "document", "video", "audio"})
    takes = frozenset(
        {"additionalModelRequestFields", "anthropic_beta", "betas", "guardrailConfig", "performanceConfig"}
    )

    def operation(self, is_stream: bool) -> str:
        """Return the operation; streams have a path of their own."""
        return f"{self.name}:stream" if is_stream else self.name

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request; see the contract."""
        return encode_request(exchange)

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of binary frames."""
        return ConverseFrames(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what the exception says that the error answer names."""
        return read_refusal(body, headers)
