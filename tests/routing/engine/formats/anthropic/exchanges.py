"""Exchanges with this format on one side, and what the official client makes of the bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import anthropic
import httpx2
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import CLAUDE as ANY_CLAUDE
from routing.engine.codec import Exchange, Target, Written
from routing.engine.formats.anthropic.codec import AnthropicCodec
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, Message, Opaque, Origin, StreamEvent, Text
from routing.engine.translation import Translation

CODEC = AnthropicCodec()
#: A model that refuses nothing that some of its family take.
CLAUDE = replace(ANY_CLAUDE, thinking="adaptive", prefill="native", sampling_params=True, mid_system=False)
MANUAL = replace(CLAUDE, thinking="enabled", default_max_output=8192)
CUTS = (1, 7, 4096)


def asked(**members: Any) -> ChatRequest:
    """Return the request of a client of this format."""
    body = {"model": "asked", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **members}
    return CODEC.decode_request(json.dumps({name: value for name, value in body.items() if value is not ...}).encode())


def foreign(*messages: Message, **fields: Any) -> ChatRequest:
    """Return the request of a client of another format."""
    return ChatRequest("other", "asked", messages or (Message("user", (Text("hi"),)),), **fields)


def exchange(
    request: ChatRequest | None = None,
    can: Capabilities = CLAUDE,
    *,
    target: str = "anthropic",
    provider: str = "anthropic",
    model: str = "claude-x",
    account: str = "chn_1",
) -> Exchange:
    return Exchange(
        foreign() if request is None else request,
        Target(target, provider, account, model, can),
        "req_0123",
        Losses(CODEC.spelling),
    )


def write(request: ChatRequest, can: Capabilities = CLAUDE, **target: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the body for an upstream as it goes over the wire, and the losses."""
    written, losses = write_whole(request, can, **target)
    return json.loads(json.dumps(written.body)), losses


def write_whole(request: ChatRequest, can: Capabilities = CLAUDE, **target: Any) -> tuple[Written, tuple[str, ...]]:
    exchanging = exchange(request, can, **target)
    return Translation(CODEC, CODEC, exchanging).write(), exchanging.losses.codes


def state(blob: str, place: str = "", **origin: str) -> Opaque:
    """Return an artefact of the upstream that `exchange` names, or of another."""
    known = {"format": "anthropic", "provider": "anthropic", "account": "chn_1", "family": "claude"}
    return Opaque(blob, Origin(**{**known, **origin}), place)


# --- streams -------------------------------------------------------------------------------------------------------


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def start(**usage: Any) -> bytes:
    message = {"id": "msg_up", "type": "message", "role": "assistant", "model": "claude-up", "content": []}
    return event("message_start", message={**message, "usage": usage or {"input_tokens": 5, "output_tokens": 1}})


def block(index: int, said: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    told = [event("content_block_start", index=index, content_block=said)]
    told += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*told, event("content_block_stop", index=index)])


def text(index: int, *pieces: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def end(reason: str | None = "end_turn", **usage: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage=usage or {"output_tokens": 9}) + event("message_stop")


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def decoded(body: bytes, size: int = 4096, exchanging: Exchange | None = None) -> list[StreamEvent]:
    decoder = CODEC.stream_decoder(exchanging or exchange())
    events = [event for piece in pieces(body, size) for event in decoder.feed(piece)]
    return events + decoder.finish()


def encoded(events: Iterable[StreamEvent], exchanging: Exchange | None = None) -> bytes:
    encoder = CODEC.stream_encoder(exchanging or exchange(target="other"))
    return b"".join(encoder.encode(event) for event in events)


def read_events(told: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream; each one's name must be its type."""
    events = []
    for part in told.decode().split("\n\n")[:-1]:
        name, data = part.split("\n")
        read = json.loads(data.removeprefix("data: "))
        assert name == f"event: {read['type']}"
        events.append(read)
    return events


def assert_grammar(told: bytes) -> None:
    """Blocks follow one another without gaps or overlaps, between one message_start and one message_stop."""
    open_block, count = None, 0
    events = read_events(told)
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    for each in events[1:-1]:
        match each["type"]:
            case "content_block_start":
                assert open_block is None
                assert each["index"] == count
                open_block = each["content_block"]["type"]
            case "content_block_delta":
                assert each["index"] == count
                assert each["delta"]["type"] in DELTAS[open_block]
            case "content_block_stop":
                assert each["index"] == count
                assert open_block is not None
                open_block, count = None, count + 1
            case other:
                assert other == "message_delta"
                assert open_block is None


DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
}


# --- the official client -------------------------------------------------------------------------------------------


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


def sdk(chunks: list[bytes], kind: str = "text/event-stream") -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, stream=_Chunks(chunks))

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://gateway", max_retries=0, http_client=client)


ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}


def accumulated(told: bytes, size: int = 7) -> dict[str, Any]:
    """Return the message that the official client makes of a stream."""
    with sdk(pieces(told, size)).messages.stream(**ASKED) as stream:
        return stream.get_final_message().to_dict(mode="json")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the message that the official client makes of a whole answer."""
    return sdk([body], "application/json").messages.create(**ASKED).to_dict(mode="json")
