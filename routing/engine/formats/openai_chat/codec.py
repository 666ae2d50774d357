"""How Chat Completions is translated: as clients speak it, and as upstreams and their dialects do."""

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
from routing.engine.formats.openai_chat import failures
from routing.engine.formats.openai_chat.answer_encoder import encode_answer
from routing.engine.formats.openai_chat.recognition import is_chat_request
from routing.engine.formats.openai_chat.request_decoder import decode_request
from routing.engine.formats.openai_chat.request_encoder import encode_request
from routing.engine.formats.openai_chat.stream_decoder import ChatDecoder, decode_answer
from routing.engine.formats.openai_chat.stream_encoder import ChatEncoder
from routing.engine.formats.openai_chat.vocabulary import FORMAT, SHARED
from routing.engine.messages import ChatAnswer, ChatRequest


class OpenAIChatCodec(ClientCodec, UpstreamCodec):
    """OpenAI Chat Completions, and every server that says it speaks it."""

    name = FORMAT
    lacks = frozenset({"citations"})
    media = frozenset({"image", "document", "audio", "video"})
    takes = SHARED
    searches = frozenset({"context_size", "place"})
    rare = frozenset({"store", "prediction", "moderation"})
    linked = frozenset({"image", "audio", "video"})
    forgets_state = True
    spelling = {
        "cache_key": "prompt_cache_key",
        "choices": "n",
        "earlier_thinking": "reasoning_content",
        "max_tokens": "max_completion_tokens",
        "thinking": "reasoning_effort",
    }

    def operation(self, is_stream: bool) -> str:
        """Return the operation that answers a conversation."""
        return FORMAT

    def decode_request(self, body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
        """Return the conversation of a request; see the contract."""
        return decode_request(body, model, is_stream)

    def recognises(self, body: bytes) -> bool:
        """Return whether a body can be nothing but a Chat Completions request; see the contract."""
        return is_chat_request(body)

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request for the exchange's target; see the contract."""
        return Written(encode_request(exchange))

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return decode_answer(body, exchange)

    def encode_answer(self, answer: ChatAnswer, exchange: Exchange) -> bytes:
        """Return the body of a completion; see the contract."""
        return encode_answer(answer, exchange)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of chunks."""
        return ChatDecoder(exchange)

    def stream_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return an encoder of chunks."""
        return ChatEncoder(exchange)

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says; see the contract."""
        return failures.decode_error(body, headers)
