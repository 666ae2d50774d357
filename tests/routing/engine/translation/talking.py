"""Exchanges between a client and an upstream in memory, over the codecs of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import ClientCodec, Exchange, StreamDecoder, StreamEncoder, Target, UpstreamCodec
from routing.engine.errors import UpstreamFailed
from routing.engine.format import Asked
from routing.engine.formats import CODECS, client_codec
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, Message, StreamEvent, Text
from routing.engine.translation import TranslatingReader, Translation

#: Formats that clients speak; the others are dialects of upstreams.
CLIENTS = ("anthropic", "gemini", "openai-chat", "openai-responses")
UPSTREAMS = tuple(sorted({*CODECS, *CLIENTS}))

#: A target that refuses nothing, so that only the format itself decides what can be carried.
PERMISSIVE = Capabilities(
    cache_control=True,
    cache_breakpoints=True,
    cache_key=True,
    mid_system=True,
    developer_role=True,
    tool_message_images=True,
    tool_result_media=True,
    prefill="native",
    prefix=True,
    custom_tools=True,
    allowed_tools=True,
    web_search=True,
    max_tool_name=128,
    max_tool_id=256,
    reasoning_effort=True,
    reasoning_content_input=True,
    thinking="adaptive",
    top_k=True,
    max_stop=16,
    verbosity=True,
    service_tier=True,
    safety_identifier=True,
    metadata=True,
    store=True,
    rare_members=("store", "prediction", "moderation"),
)
ACCOUNT = "chn_1"


def each(names: Iterable[str]) -> list:
    """Return pytest parameters for codecs."""
    return [pytest.param(name, id=name) for name in names]


def each_pair(clients: Iterable[str] = CLIENTS, upstreams: Iterable[str] = CLIENTS) -> list:
    """Return pytest parameters for every (client, upstream)."""
    upstreams = tuple(upstreams)
    return [
        pytest.param(client, upstream, id=f"{client} over {upstream}") for client in clients for upstream in upstreams
    ]


def client(name: str) -> ClientCodec:
    """Return a format as its clients speak it."""
    codec = client_codec(name)
    assert codec is not None, f"{name} is no format of clients"
    return codec


def upstream(name: str) -> UpstreamCodec:
    """Return a format as its upstreams speak it."""
    return CODECS[name]


def asked(name: str, **fields) -> ChatRequest:
    """Return a small request of a client of this format."""
    return ChatRequest(name, "asked-model", (Message("user", (Text("hi"),)),), **fields)


def exchange(request: ChatRequest, to: str, can: Capabilities = PERMISSIVE, request_id: str = "req_1") -> Exchange:
    """Return an exchange of this request with an upstream of a format."""
    target = Target(to, "somewhere", ACCOUNT, request.model, can)
    spelling = client(request.format).spelling if request.format in CLIENTS else {}
    return Exchange(request, target, request_id, Losses(spelling))


def permissive(request: ChatRequest) -> Capabilities:
    """Return capabilities that let a request's own way of asking for thought through."""
    wish = request.thinking
    if wish is None:
        return PERMISSIVE
    by_budget = wish.mode == "enabled" or (wish.budget_tokens is not None and wish.mode is None)
    return replace(PERMISSIVE, thinking="enabled" if by_budget else "adaptive", thinking_level=wish.effort is not None)


def translation(request: ChatRequest, to: str, can: Capabilities = PERMISSIVE) -> Translation:
    """Return the translation of a request to an upstream."""
    return Translation(client(request.format), upstream(to), exchange(request, to, can))


def reader_of(translating: Translation) -> TranslatingReader:
    """Return what follows the stream that answers a translation."""
    request = translating.exchange.request
    return TranslatingReader(
        Asked(request.model, is_stream=True, wants_usage=request.wants_usage),
        decoder=translating.upstream.stream_decoder(translating.exchange),
        encoder=translating.client.stream_encoder(translating.exchange),
        telling=translating.told(),
        request_id="req_1",
    )


def relayed(reader: TranslatingReader, chunks: Iterable[bytes]) -> bytes:
    """Return what the client gets, as the gateway relays it: a stream that is not complete ends with an error."""
    told = [reader.feed(chunk) for chunk in chunks]
    told.append(reader.finish())
    if not reader.is_complete:
        told.append(reader.error_event(UpstreamFailed("The stream was cut."), "req_1"))
    return b"".join(told)


def encoded(encoder: StreamEncoder, events: Iterable[StreamEvent]) -> bytes:
    """Return a whole stream's bytes."""
    return b"".join([encoder.encode(event) for event in events])


def decoded(decoder: StreamDecoder, chunks: Iterable[bytes]) -> list[StreamEvent]:
    """Return a whole stream's events."""
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.finish()


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the bytes cut at these places, counted round and round."""
    ends = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(ends)]


def pieces(body: bytes, size: int) -> list[bytes]:
    """Return the bytes in packets of one size."""
    return [body[start : start + size] for start in range(0, len(body), size)]
