"""Ollama's chat API: the codec object."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.codec import Exchange, StreamDecoder, UpstreamCodec, UpstreamFailure, Written
from routing.engine.failures import asked_wait_s, said_in
from routing.engine.formats.ollama.request import encode_request
from routing.engine.formats.ollama.stream import LinesDecoder, decode_answer
from routing.engine.messages import ChatAnswer


class OllamaCodec(UpstreamCodec):
    """`/api/chat`: one JSON object, or one on each line."""

    name = "ollama"
    lacks = frozenset(
        {
            "citations",
            "custom_tools",
            "detail",
            "logit_bias",
            "metadata",
            "name",
            "parallel_tool_calls",
            "user",
            "verbosity",
        }
    )
    refuses = frozenset({"choices"})
    takes = frozenset({"keep_alive", "options"})

    def operation(self, is_stream: bool) -> str:
        """Return the one operation: the body says whether a stream is wanted."""
        return self.name

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request; see the contract."""
        return encode_request(exchange)

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of JSON lines."""
        return LinesDecoder(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what `{"error": "…"}` says."""
        message, code, _ = said_in(body)
        return UpstreamFailure(message, code, retry_after_s=asked_wait_s(headers))
