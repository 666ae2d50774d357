"""A fake upstream on loopback: every format over real HTTP, faults by the model name after a plus sign.

`python -m tests.upstream` prints its port and serves until its standard input closes. Model `anything` answers as the
echo provider does; `anything+429` and so on misbehave (FAULTS). `GET /__seen` tells what arrived.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from channels_app.engine.provider import Timeouts, UpstreamRequest
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.providers.echo import Echo

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

#: Path ending → operation, for the genuine paths of the providers that Routex knows.
OPERATIONS = {
    PROVIDERS[name].endpoints[operation].partition("?")[0].rpartition("{model}")[2]: operation
    for name in ("openai", "anthropic", "gemini")
    for operation in PROVIDERS[name].endpoints
}
SECRET_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
STATUS_FAULTS = {"400": 400, "401": 401, "404": 404, "429": 429, "500": 500, "529": 529}
STREAM_FAULTS = {"cut", "stall", "error", "early_error", "empty", "malformed", "slow", "endless", "redirect", "html502"}


class FakeUpstream:
    """The ASGI application. `seen` holds a line per request: operation, model, authorization, disconnects."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.echo = Echo(gap_s=0)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Send
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/__seen":
            await _whole(send, 200, json.dumps(self.seen).encode())
            return
        if scope["method"] == "GET":
            await _whole(send, 200, b'{"object":"list","data":[]}')
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        line = _line(scope, body)
        self.seen.append(line)
        gone = asyncio.ensure_future(receive())
        answer = asyncio.ensure_future(self._answer(line, body, send))
        await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            line["disconnected"] = True
            answer.cancel()
        else:
            line["finished"] = True
            gone.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)

    async def _answer(self, line: dict[str, Any], body: bytes, send: Send) -> None:
        fault = line["fault"]
        if fault in STATUS_FAULTS:
            headers = [(b"retry-after", b"3")] if fault == "429" else []
            text = f"upstream says {fault}"
            error = {
                "error": {"type": "upstream_fault", "code": fault, "message": text, "status": "X"},
                "type": "error",
            }
            await _whole(send, STATUS_FAULTS[fault], json.dumps(error).encode(), headers)
            return
        if fault == "html502":
            await _whole(send, 502, b"<html>Bad gateway</html>", content_type=b"text/html")
            return
        if fault == "redirect":
            await _whole(send, 302, b"", [(b"location", b"http://127.0.0.1:9/")])
            return
        if fault == "malformed":
            await _whole(send, 200, b'{"id": "x", "choices": [{"mess')
            return
        response = await self.echo.send(
            UpstreamRequest(
                operation=line["operation"],
                model=line["model"],
                is_stream=line["is_stream"],
                method="POST",
                url="",
                headers=[],
                body=body,
                timeouts=Timeouts(),
            ),
            None,  # type: ignore[arg-type]
        )
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        async for chunk in self._misbehave(fault, response.chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if fault == "cut":
            raise ConnectionAbortedError  # uvicorn drops the connection in the middle of the body
        await send({"type": "http.response.body", "body": b""})

    async def _misbehave(self, fault: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if fault == "early_error":
            yield b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
            return
        count = 0
        async for chunk in chunks:
            yield chunk
            count += 1
            if fault == "slow":
                await asyncio.sleep(0.05)
            if fault == "stall" and count == 3:
                await asyncio.sleep(3600)
            if fault == "endless" and count == 3:
                while True:
                    yield chunk * 50
            if fault == "error" and count == 3:
                yield b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
                return
            if fault in {"cut", "empty"} and count == 3:
                return


def _line(scope: Message, body: bytes) -> dict[str, Any]:
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"]
    operation = next(
        found for end, found in sorted(OPERATIONS.items(), key=lambda kv: -len(kv[0])) if path.endswith(end)
    )
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = {}
    model = parsed.get("model") or path.rpartition("/models/")[2].partition(":")[0]
    is_stream = bool(parsed.get("stream")) or "streamGenerateContent" in path
    secret = (
        headers.get("authorization", "").removeprefix("Bearer ")
        or headers.get("x-api-key")
        or headers.get("x-goog-api-key")
    )
    return {
        "operation": operation,
        "path": path,
        "model": model,
        "fault": model.partition("+")[2],
        "is_stream": is_stream,
        "secret": secret,
        "headers": {name: value for name, value in headers.items() if name not in SECRET_HEADERS},
        "body_bytes": len(body),
        "body": parsed if len(body) < 20_000 else {},
    }


async def _whole(
    send: Send, status: int, body: bytes, headers: Any = (), content_type: bytes = b"application/json"
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", content_type), length, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on a free port, print it, and stop when standard input closes."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(FakeUpstream(), log_level="critical", lifespan="off"))

    def stop_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = server.force_exit = True

    threading.Thread(target=stop_with_parent, daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
