"""AnthropicCodec: Messages translated, as clients and as upstreams speak it."""

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
from routing.engine.formats.anthropic.request import decode_request, encode_request
from routing.engine.formats.anthropic.response import decode_answer, decode_count, decode_error, encode_answer
from routing.engine.formats.anthropic.stream_decoder import AnthropicDecoder
from routing.engine.formats.anthropic.stream_encoder import AnthropicEncoder
from routing.engine.formats.anthropic.vocabulary import NAME
from routing.engine.messages import ChatAnswer, ChatRequest

#: Members that a token count takes; those about the answer are refused there.
COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers"})


class AnthropicCodec(ClientCodec, UpstreamCodec):
    """Anthropic Messages, versions 2023-06-01 and 2026-10-21."""

    name = NAME
    count_operation = f"{NAME}:count_tokens"
    lacks = frozenset(
        {
            "custom_tools",
            "detail",
            "frequency_penalty",
            "logit_bias",
            "metadata",
            "name",
            "presence_penalty",
            "seed",
            "verbosity",
        }
    )
    refuses = frozenset({"choices", "logprobs"})
    media = frozenset({"image", "document"})
    searches = frozenset({"place", "allowed_domains", "blocked_domains"})
    misses_call_state = True
    spelling = {
        "parallel_tool_calls": "disable_parallel_tool_use",
        "response_format": "output_config.format",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
    }

    def operation(self, is_stream: bool) -> str:
        """Return the one operation for both."""
        return NAME

    def decode_request(self, body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
        """Return the conversation of a request, or of a token count's; see the contract."""
        return decode_request(body, model, is_stream)

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request for the exchange's target; see the contract."""
        return encode_request(exchange)

    def encode_count_request(self, exchange: Exchange) -> Written:
        """Return the members of the request that count towards its tokens; see the contract."""
        written = encode_request(exchange)
        written.body = {name: value for name, value in written.body.items() if name in COUNTED}
        return written

    def decode_count(self, body: bytes) -> int:
        """Return the tokens that the upstream counted; see the contract."""
        return decode_count(body)

    def encode_count(self, tokens: int) -> bytes:
        """Return the answer to a count; see the contract."""
        return b'{"input_tokens":%d}' % tokens

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def encode_answer(self, answer: ChatAnswer, exchange: Exchange) -> bytes:
        """Return the body of a whole answer; see the contract."""
        return encode_answer(answer, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of named events."""
        return AnthropicDecoder(exchange)

    def stream_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return an encoder of named events."""
        return AnthropicEncoder(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says; see the contract."""
        return decode_error(body, headers)
