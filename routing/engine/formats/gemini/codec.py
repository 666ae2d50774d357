"""Gemini generateContent as clients and upstreams speak it."""

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
from routing.engine.formats.gemini.request import decode_count_request, decode_request, encode_request
from routing.engine.formats.gemini.response import decode_answer, decode_count, decode_error, encode_answer
from routing.engine.formats.gemini.stream import GeminiDecoder, GeminiEncoder
from routing.engine.formats.gemini.vocabulary import resource_name
from routing.engine.messages import ChatAnswer, ChatRequest


class GeminiCodec(ClientCodec, UpstreamCodec):
    """Gemini generateContent, both ways."""

    name = "gemini"
    lacks = frozenset({"logit_bias", "verbosity", "parallel_tool_calls", "user", "metadata", "name", "citations"})
    media = frozenset({"image", "document", "audio", "video"})
    count_operation = "gemini:countTokens"
    spelling = {
        "messages": "contents",
        "earlier_thinking": "thought",
        "max_tokens": "maxOutputTokens",
        "top_p": "topP",
        "top_k": "topK",
        "stop": "stopSequences",
        "n": "candidateCount",
        "logprobs": "responseLogprobs",
        "presence_penalty": "presencePenalty",
        "frequency_penalty": "frequencyPenalty",
        "service_tier": "serviceTier",
        "thinking": "thinkingConfig",
        "detail": "mediaResolution",
        "response_format": "responseMimeType",
        "tool_choice": "toolConfig",
        "allowed_tools": "allowedFunctionNames",
        "web_search": "googleSearch",
        "tool:code_execution": "tool:codeExecution",
        "tool:web_fetch": "tool:urlContext",
        "tool:file_search": "tool:fileSearch",
        "tool:computer": "tool:computerUse",
        "tool:mcp": "tool:mcpServers",
    }

    def operation(self, is_stream: bool) -> str:
        """Return the method that answers; see the contract."""
        return "gemini:streamGenerateContent" if is_stream else "gemini:generateContent"

    def decode_request(self, body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
        """Return the conversation of a request; see the contract."""
        return decode_request(body, model=model, is_stream=is_stream)

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request for the exchange's target; see the contract."""
        return encode_request(exchange)

    def encode_count_request(self, exchange: Exchange) -> Written:
        """Return the request in the envelope that counts its system prompt and tools too; see the contract."""
        written = encode_request(exchange)
        model = resource_name(exchange.target.model)
        written.body = {"generateContentRequest": {"model": model, **written.body}}
        return written

    def decode_count_request(self, body: bytes, *, model: str = "") -> ChatRequest:
        """Return the conversation of a count, in its envelope or without; see the contract."""
        return decode_count_request(body, model=model)

    def decode_count(self, body: bytes) -> int:
        """Return the tokens that the upstream counted; see the contract."""
        return decode_count(body)

    def encode_count(self, tokens: int) -> bytes:
        """Return the answer to a count; see the contract."""
        return b'{"totalTokens":%d}' % tokens

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def encode_answer(self, answer: ChatAnswer, exchange: Exchange) -> bytes:
        """Return the body of a whole answer; see the contract."""
        return encode_answer(answer, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of chunks."""
        return GeminiDecoder(exchange)

    def stream_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return an encoder of chunks: events, or the array that a client without `alt=sse` reads."""
        return GeminiEncoder(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says; see the contract."""
        return decode_error(body, headers)
