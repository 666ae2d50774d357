"""What tests of upstream formats share: an exchange to write for, bytes cut into pieces, the events they tell."""

from __future__ import annotations

from typing import Any

import msgspec

from channels_app.engine.capabilities import Capabilities
from routing.engine.answers import Collector
from routing.engine.codec import Exchange, Target, UpstreamCodec, Written
from routing.engine.fitting import fit
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Ended,
    Message,
    Part,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolDelta,
)

SIZES = (1, 7, 4096)
_TEXTS = (TextDelta, ReasoningDelta, ToolDelta)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def exchange_of(codec: UpstreamCodec, request: ChatRequest, model: str = "m", **capabilities: Any) -> Exchange:
    target = Target(codec.name, "provider", "chn_1", model, Capabilities(**capabilities))
    return Exchange(request, target, "req_1")


def chat(*messages: Message | str, client: str = "openai-chat", **members: Any) -> ChatRequest:
    turns = tuple(user(each) if isinstance(each, str) else each for each in messages)
    return ChatRequest(format=client, model="asked", messages=turns, **members)


def sent(
    codec: UpstreamCodec, request: ChatRequest, model: str = "m", **capabilities: Any
) -> tuple[Written, list[str]]:
    """Return the request that an upstream gets, its body as it reads it, and the losses."""
    exchange = exchange_of(codec, request, model, **capabilities)
    fit(exchange, codec)
    request_written = codec.encode_request(exchange)
    request_written.body = msgspec.json.decode(msgspec.json.encode(request_written.body))
    return request_written, list(exchange.losses)


def written(codec: UpstreamCodec, request: ChatRequest, model: str = "m", **capabilities: Any) -> tuple[Any, list[str]]:
    """Return the body that an upstream gets, and the losses."""
    request_written, losses = sent(codec, request, model, **capabilities)
    return request_written.body, losses


def told(codec: UpstreamCodec, body: bytes, size: int = 4096, exchange: Exchange | None = None) -> list[StreamEvent]:
    """Return the events of a stream that comes in pieces of that size."""
    decoder = codec.stream_decoder(exchange or exchange_of(codec, chat("hi", is_stream=True)))
    events = [event for start in range(0, len(body), size) for event in decoder.feed(body[start : start + size])]
    return events + decoder.finish()


def collected(events: list[StreamEvent]) -> ChatAnswer:
    """Return the answer that events tell; they must be whole and end there."""
    assert [event for event in events if isinstance(event, Ended)] == events[-1:]
    collector = Collector()
    collector.take(events)
    assert collector.failure is None
    return collector.answer()


def texts(events: list[StreamEvent], kind: type) -> str:
    assert kind in _TEXTS
    return "".join(event.text for event in events if isinstance(event, kind))
