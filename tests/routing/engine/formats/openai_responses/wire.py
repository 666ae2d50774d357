"""Exchanges in the format: bodies decoded and written, streams in any cut, answers read by the official SDK."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from channels_app.engine.capabilities import of_model
from channels_app.engine.providers import PROVIDERS
from routing.engine.codec import Exchange, Target
from routing.engine.fitting import fit
from routing.engine.formats import CODECS
from routing.engine.messages import ChatRequest, Opaque, Origin, StreamEvent

NAME = "openai-responses"
CODEC = CODECS[NAME]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

cuts = pytest.mark.parametrize("size", [1, 7, 4096])


def target(model: str = "gpt-x", **capabilities) -> Target:
    can = PROVIDERS["openai"].capabilities_of(NAME, model)
    return Target(NAME, "openai", "chn_1", model, of_model(can, [("*", capabilities)], model))


def ask(**body) -> ChatRequest:
    """Return what a client's body means."""
    return CODEC.decode_request(json.dumps({"model": "m", "input": "hi", **body}).encode())


def exchange(request: ChatRequest | None = None, model: str = "gpt-x", **capabilities) -> Exchange:
    request = request or ChatRequest(format="openai-chat", model="asked")
    return Exchange(request, target(model, **capabilities), "req_1")


def write(request: ChatRequest, model: str = "gpt-x", **capabilities) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the upstream's body and what was lost on the way, as the gateway writes it."""
    asked = exchange(request, model, **capabilities)
    fit(asked, CODEC)
    body = json.loads(msgspec.json.encode(CODEC.encode_request(asked).body))
    return body, asked.losses.codes


def state(blob: str, place: str = "", **origin) -> Opaque:
    return Opaque(blob, Origin(**{"format": NAME, "provider": "openai", "account": "chn_1", **origin}), place)


# --- streams ------------------------------------------------------------------------------------------------------


def sse(kind: str, **members) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def completed(**response) -> bytes:
    return sse("response.completed", response={"id": "resp_u", "status": "completed", **response})


def created(**response) -> bytes:
    return sse("response.created", response={"id": "resp_u", "model": "gpt-x", "created_at": 1790000000, **response})


def read(body: bytes | Iterable[bytes], size: int = 4096, asked: Exchange | None = None) -> list[StreamEvent]:
    """Return the events of an upstream's stream, cut into packets of that size."""
    body = body if isinstance(body, bytes) else b"".join(body)
    decoder = CODEC.stream_decoder(asked or exchange())
    events: list[StreamEvent] = []
    for start in range(0, len(body), size):
        events += decoder.feed(body[start : start + size])
    return events + decoder.finish()


def tell(events: Iterable[StreamEvent], asked: Exchange | None = None) -> bytes:
    """Return the client's bytes of an answer's events."""
    encoder = CODEC.stream_encoder(asked or exchange())
    return b"".join(encoder.encode(event) for event in events)


def sent(body: bytes) -> list[dict[str, Any]]:
    """Return a stream's events as the client parses them, each valid by the SDK's own types."""
    found = []
    for block in body.split(b"\n\n"):
        if block:
            head, _, data = block.partition(b"\ndata: ")
            event = json.loads(data)
            assert head == b"event: " + event["type"].encode()
            if event["type"] != "error":
                EVENT.validate_python(event)
            found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


def client(body: bytes, media: str = "text/event-stream") -> openai.OpenAI:
    """Return an official client whose every request is answered with these bytes."""
    chunks = _Chunks([body[start : start + 5] for start in range(0, len(body), 5)])
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers={"content-type": media}, stream=chunks)
    )
    return openai.OpenAI(
        api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def accumulated(body: bytes) -> dict[str, Any]:
    """Return the response that the SDK's accumulator makes of a stream, whichever terminal event it has."""
    last = None
    with client(body).responses.stream(model="m", input="x") as stream:
        for event in stream:
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                last = event.response
    assert last is not None
    return last.to_dict(mode="json")
