"""The gateway in memory: a scripted provider, a clock that the test moves, one ASGI call at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from channels_app.engine.errors import UpstreamError
from channels_app.engine.provider import Provider, UpstreamRequest, UpstreamResponse
from routing.engine.asgi import GatewayApp
from routing.engine.document import PolicySpec
from routing.engine.gateway import Gateway
from routing.engine.snapshot import Snapshot
from routing.engine.stores.memory import MemoryStore
from tenants.engine import keys
from tests.routing.engine.cast import channel, principal, snapshot

KEY = keys.mint()
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini:streamGenerateContent": "/v1beta/models/m:streamGenerateContent",
    "gemini:generateContent": "/v1beta/models/m:generateContent",
    "openai-embeddings": "/v1/embeddings",
    "openai-completions": "/v1/completions",
    "openai-moderations": "/v1/moderations",
    "openai-speech": "/v1/audio/speech",
    "openai-transcription": "/v1/audio/transcriptions",
    "jina-rerank": "/v1/rerank",
}


def chat_event(text: str = "", **choice: Any) -> bytes:
    delta = {"content": text} if text else {}
    body = {"id": "c", "model": "real-m", "choices": [{"index": 0, "delta": delta, "finish_reason": None} | choice]}
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


USAGE_EVENT = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"
GOOD_STREAM = [
    chat_event(delta={"role": "assistant", "content": ""}),
    chat_event("Hello"),
    chat_event(" there"),
    chat_event(finish_reason="stop"),
    USAGE_EVENT + DONE,
]
GOOD_WHOLE = json.dumps(
    {
        "id": "c",
        "model": "real-m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
).encode()


@dataclass
class Step:
    """One answer of the scripted upstream: an error to raise, or a status with chunks; an exception may be a chunk."""

    status: int = 200
    chunks: list[Any] = field(default_factory=lambda: [GOOD_WHOLE])
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"content-type", b"application/json")])
    error: UpstreamError | None = None


def streamed(*chunks: Any) -> Step:
    return Step(chunks=list(chunks or GOOD_STREAM), headers=[(b"content-type", b"text/event-stream")])


def status(code: int, *, retry_after: str = "", body: bytes = b'{"error":{"message":"upstream text"}}') -> Step:
    headers = [(b"content-type", b"application/json")]
    return Step(code, [body], headers + ([(b"retry-after", retry_after.encode())] if retry_after else []))


class Scripted(Provider):
    """Answers by script, and remembers what it was sent and what was closed."""

    name = "anything"
    label = "Anything"
    base_url = "https://anything.example"
    is_genuine = True
    endpoints = {operation: f"/{operation}" for operation in PATHS}

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.sent: list[UpstreamRequest] = []
        self.uploaded: list[bytes] = []
        self.reads_uploads = True
        self.open = 0

    async def send(self, request: UpstreamRequest, upstreams: Any) -> UpstreamResponse:
        self.sent.append(request)
        if request.source is not None and self.reads_uploads:
            self.uploaded.append(b"".join([piece async for piece in request.source]))
        step = self.steps.pop(0) if self.steps else Step()
        if step.error is not None:
            raise step.error
        self.open += 1

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in step.chunks:
                if isinstance(chunk, BaseException):
                    raise chunk
                if isinstance(chunk, asyncio.Event):
                    await chunk.wait()
                else:
                    yield chunk

        is_closed = False

        async def close() -> None:
            nonlocal is_closed
            self.open -= not is_closed
            is_closed = True

        return UpstreamResponse(step.status, step.headers, chunks(), close)


class Memory:
    """The configuration of one key and one tenant."""

    is_ready = True

    def __init__(self, built: Snapshot, **fields: Any) -> None:
        self.built = built
        self.known = principal(**fields)

    def principal(self, digest: bytes) -> Any:
        return self.known if digest == keys.digest(KEY) else None

    def snapshot(self, tenant_id: str) -> Snapshot:
        return self.built

    async def load(self, tenant_id: str) -> Snapshot:
        return self.built


class Records(list):  # type: ignore[type-arg]
    put = list.append


@dataclass
class Answer:
    """What a client got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    is_ended: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Harness:
    """A gateway over scripted upstreams: `ask` sends one request and returns its answer."""

    def __init__(self, *steps: Step, channels: Any = None, policy: PolicySpec | None = None, **fields: Any) -> None:
        self.provider = Scripted(*steps)
        self.now_s = 1000.0
        self.records = Records()
        built = snapshot(*(channels or [channel("a")]), provider=self.provider, policy=policy or PolicySpec(), **fields)
        self.configuration = Memory(built)
        self.gateway = Gateway(
            configuration=self.configuration,
            upstreams=None,  # type: ignore[arg-type]
            records=self.records,
            max_body_bytes=10_000,
            clock=lambda: self.now_s,
            chance=lambda: 0.0,
            store=MemoryStore(lambda: self.now_s),
        )
        self.app = GatewayApp(self.gateway)
        self.left = asyncio.Event()

    async def ask(
        self,
        body: Any = None,
        *,
        path: str = PATHS["openai-chat"],
        method: str = "POST",
        headers: dict[str, str] | None = None,
        query: str = "",
        on_write: Any = None,
        is_body_whole: bool = True,
        client: tuple[str, int] | None = ("127.0.0.1", 1),
        **fields: Any,
    ) -> Answer:
        if body is None:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields
        raw = body if isinstance(body, bytes | list) else json.dumps(body).encode()
        # A list is sent piece by piece; what is no bytes in it is waited for.
        parts = raw if isinstance(raw, list) else [raw]
        length = sum(len(part) for part in parts if isinstance(part, bytes))
        sent = {"authorization": f"Bearer {KEY}", "content-length": str(length)} | (headers or {})
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
            "client": client,
        }
        left = list(parts)
        answer = Answer()

        async def receive() -> dict[str, Any]:
            while left and not isinstance(left[0], bytes):
                await left.pop(0).wait()
            if left:
                part = left.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(left) or not is_body_whole}
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                return
            answer.is_ended = not message.get("more_body")
            if message.get("body"):
                answer.pieces.append(message["body"])
                if on_write is not None:
                    await on_write(message["body"])

        await self.app(scope, receive, send)
        return answer

    @property
    def record(self) -> Any:
        assert len(self.records) == 1, self.records
        return self.records[0]

    def tried(self) -> list[tuple[str, str]]:
        return [(attempt.channel, attempt.reason) for attempt in self.record.attempts]
