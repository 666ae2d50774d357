"""Exchanges with Gemini on one side, its streams in every cut, and what Google's SDK makes of our bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
from google import genai
from google.genai import types as genai_types
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.providers import PROVIDERS
from routing.engine.answers import Collector
from routing.engine.codec import Exchange, Target
from routing.engine.fitting import fit
from routing.engine.formats.gemini.codec import GeminiCodec
from routing.engine.losses import Losses
from routing.engine.messages import ChatAnswer, ChatRequest, Message, StreamEvent, Text

CODEC = GeminiCodec()
CUTS = (1, 7, 4096)


def capabilities(model: str, **changes: Any) -> Capabilities:
    return replace(PROVIDERS["gemini"].capabilities_of("gemini", model), **changes)


def asked(fmt: str = "openai-chat", **fields: Any) -> ChatRequest:
    """Return a question of a client of another format, unless one is named."""
    fields.setdefault("messages", (Message("user", (Text("hi"),)),))
    return ChatRequest(fmt, fields.pop("model", "asked-model"), **fields)


def exchange(
    request: ChatRequest | None = None, model: str = "gemini-2.5-flash", fmt: str = "gemini", **changes: Any
) -> Exchange:
    """Return an exchange with a Gemini upstream, or with one of another format."""
    can = capabilities(model, **changes) if fmt == "gemini" else Capabilities()
    target = Target(fmt, fmt, "chn_1", model, can)
    return Exchange(request or asked(), target, "req_1", Losses(CODEC.spelling))


def written(request: ChatRequest, model: str = "gemini-2.5-flash", **changes: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the body that a request becomes for a Gemini upstream, and what was lost."""
    going = exchange(request, model, **changes)
    fit(going, CODEC)
    body = CODEC.encode_request(going).body
    return json.loads(json.dumps(body)), set(going.losses)


def decoded(body: dict[str, Any], **path: Any) -> ChatRequest:
    return CODEC.decode_request(json.dumps(body).encode(), **{"model": "asked-model", **path})


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


# --- streams ---------------------------------------------------------------------------------------------------------


def chunk(*parts: Any, finish: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    """Return a chunk as Google sends it."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", **members}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\r\n\r\n" for c in chunks)


def decode_stream(body: bytes, going: Exchange | None = None) -> list[StreamEvent]:
    """Return the events of a stream, after making sure that every cut of it gives the same ones."""
    seen = []
    for size in CUTS:
        decoder = CODEC.stream_decoder(going or exchange())
        events = [event for start in range(0, len(body), size) for event in decoder.feed(body[start : start + size])]
        seen.append(events + decoder.finish())
    assert all(known(events) == known(seen[0]) for events in seen)
    return seen[0]


def known(events: list[StreamEvent]) -> list[StreamEvent]:
    """Return events without the ids that are minted anew each time."""
    return [replace(e, id="") if getattr(e, "id", "").startswith("call_") else e for e in events]


def collected(events: Iterable[StreamEvent]) -> tuple[ChatAnswer, Collector]:
    collector = Collector()
    collector.take(events)
    return collector.answer(), collector


def encode_stream(events: Iterable[StreamEvent], going: Exchange | None = None) -> bytes:
    encoder = CODEC.stream_encoder(going or exchange(asked("gemini"), fmt="other"))
    return b"".join(encoder.encode(event) for event in events)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """Return the chunks of a stream of events, whose frame is checked."""
    blocks = body.split(b"\r\n\r\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: {") for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


# --- the SDK ---------------------------------------------------------------------------------------------------------


class Packets(httpx2.SyncByteStream):
    def __init__(self, packets: list[bytes]) -> None:
        self.packets = packets

    def __iter__(self) -> Iterator[bytes]:
        yield from self.packets


def sdk(body: bytes, size: int = 4096, media_type: str = "text/event-stream") -> genai.Client:
    """Return Google's client, whose every request is answered with these bytes."""
    packets = [body[start : start + size] for start in range(0, len(body), size)]

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": media_type}, stream=Packets(packets))

    options = genai_types.HttpOptions(
        base_url="http://gateway",
        httpx_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
        retry_options=genai_types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key="k", http_options=options)
