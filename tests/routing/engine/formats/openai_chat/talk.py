"""Both sides of a Chat exchange for the tests: requests and targets, streams in pieces, the official SDK's ears."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from channels_app.engine.capabilities import Capabilities
from routing.engine.answers import Collector
from routing.engine.codec import Exchange, Target
from routing.engine.fitting import fit
from routing.engine.formats.openai_chat.codec import OpenAIChatCodec
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Failed,
    Media,
    Message,
    StreamEvent,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

CODEC = OpenAIChatCodec()
CUTS = (1, 7, 4096)
PNG = Media("image", "image/png", data="iVBOR")
WEATHER = Tool("get_weather", description="weather", schema={"type": "object", "properties": {}})
CALL = ToolCall("c1", "get_weather", '{"city":"Oslo"}')
RESULT = ToolResult("c1", (Text("4C"),))


def exchange(
    request: ChatRequest | None = None, *, client: str = "openai-chat", provider: str = "openai", **can: Any
) -> Exchange:
    """Return an exchange with a Chat upstream whose capabilities differ from the defaults as said."""
    request = request or ChatRequest(client, "asked", (Message("user", (Text("hi"),)),))
    target = Target("openai-chat", provider, "chn_1", "up-model", Capabilities(**can))
    return Exchange(request, target, "req_01TEST")


def decoded(**body: Any) -> ChatRequest:
    """Return a client's body as a conversation."""
    return CODEC.decode_request(json.dumps({"model": "m", "messages": [], **body}).encode())


def turn(*messages: Any) -> ChatRequest:
    return decoded(messages=list(messages))


def asked(*messages: Message, **members) -> ChatRequest:
    """Return a request of a client of another format."""
    return ChatRequest("anthropic", "m", messages or (Message("user", (Text("hi"),)),), **members)


def user(*parts) -> Message:
    return Message("user", parts)


def model(*parts) -> Message:
    return Message("assistant", parts)


def written(request: ChatRequest, **options: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what an upstream is sent for a request that was fitted to it, and what was lost."""
    made = exchange(request, **options)
    fit(made, CODEC)
    body = json.loads(json.dumps(CODEC.encode_request(made).body))
    return body, made.losses.codes


def messages(request: ChatRequest, **can) -> list:
    return written(request, **can)[0]["messages"]


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def chunk(delta: Any = None, finish: Any = None, index: Any = 0, *, choice: Any = None, **more: Any) -> bytes:
    members = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish, **(choice or {})}
    return event({"id": "up1", "model": "up-model", "created": 7, "choices": [members], **more})


DONE = b"data: [DONE]\n\n"
STOP = chunk(finish="stop") + DONE


def events(stream: bytes, made: Exchange | None = None, size: int = 0) -> list[StreamEvent]:
    """Return the events of an upstream's stream, cut into packets of a size."""
    decoder = CODEC.stream_decoder(made or exchange())
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]
    told: list[StreamEvent] = []
    for piece in pieces:
        told += decoder.feed(piece)
    return told + decoder.finish()


def collected(stream: bytes, **options: Any) -> ChatAnswer:
    """Return the answer that a stream tells, the same for every cut of its bytes."""
    whole = events(stream, exchange(**options))
    for size in CUTS:
        assert events(stream, exchange(**options), size) == whole
    collector = Collector()
    collector.take(whole)
    assert collector.failure is None
    assert collector.is_complete
    return collector.answer()


def failure(stream: bytes, **options: Any) -> Failed:
    """Return how a stream failed: as its last event, and the same for every cut of its bytes."""
    whole = events(stream, exchange(**options))
    for size in CUTS:
        assert events(stream, exchange(**options), size) == whole
    assert isinstance(whole[-1], Failed)
    return whole[-1]


@dataclass
class Heard:
    """What the official SDK makes of a stream."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def message(self) -> dict[str, Any]:
        return self.final["choices"][0]["message"]


class _Body(httpx2.SyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self):
        yield from self.pieces


def _sdk(pieces: list[bytes], content_type: str) -> openai.OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, stream=_Body(pieces))

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="x", base_url="http://127.0.0.1:1/v1", max_retries=0, http_client=client)


def hear(told: list[StreamEvent], made: Exchange) -> Heard:
    """Return what the SDK accumulates of events told by our encoder."""
    encoder = CODEC.stream_encoder(made)
    return listen([encoder.encode(each) for each in told])


def listen(pieces: list[bytes]) -> Heard:
    heard = Heard()
    state = ChatCompletionStreamState()
    try:
        stream = _sdk(pieces, "text/event-stream").chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        for each in stream:
            heard.chunks.append(each.to_dict(mode="json"))
            state.handle_chunk(each)
        heard.final = state.current_completion_snapshot.to_dict(mode="json", exclude_none=True)
    except openai.APIError as error:
        heard.error = error
    return heard


def read_whole(body: bytes) -> dict[str, Any]:
    """Return a whole answer as the SDK reads it, every member of the type it promises."""
    completion = _sdk([body], "application/json").chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}]
    )
    openai.types.chat.ChatCompletion.model_validate(completion.to_dict(mode="json"), strict=False)
    return completion.to_dict(mode="json")
