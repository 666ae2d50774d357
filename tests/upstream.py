"""A fake upstream on loopback: every format over real HTTP, faults by the model name after a plus sign.

`python -m tests.upstream` prints its port and serves until its standard input closes. Model `anything` answers as the
echo provider does; `anything+429` and so on misbehave (STATUS_FAULTS, FAULTS). `GET /__seen?model=…` tells what
arrived, `/__received` and `/__sent` give the very bytes of a model's last request and answer, `/__held` tells how many
`+held` answers wait, and `POST /__release` lets them go on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from channels_app.engine.provider import Timeouts, UpstreamRequest
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.providers.echo import Echo

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

#: Path ending → operation, for the genuine paths of the providers that Routex knows.
OPERATIONS = {
    PROVIDERS[name].endpoints[operation].partition("?")[0].rpartition("{model}")[2]: operation
    for name in ("openai", "anthropic", "gemini", "openai-compatible")
    for operation in PROVIDERS[name].endpoints
}
SECRET_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
STATUS_FAULTS = {"400": 400, "401": 401, "404": 404, "429": 429, "429soon": 429, "500": 500, "529": 529}
RETRY_HEADERS = {"429": [(b"retry-after", b"3")], "429soon": [(b"retry-after-ms", b"20")]}
#: What misbehaves after, or instead of, a good start. `silent` sends not even a head; `held` waits for /__release.
FAULTS = {
    *("cut", "stall", "error", "early_error", "empty", "malformed", "slow", "endless", "redirect", "html502"),
    *("silent", "held"),
}
#: The error event of each format.
ERROR_EVENTS = {
    "openai-chat": b'data: {"error":{"message":"busy","type":"server_error","code":"overloaded"}}\n\n',
    "openai-responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"busy","param":null,'
    b'"sequence_number":3}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n',
    "openai-completions": b'data: {"error":{"message":"busy","type":"server_error","code":"overloaded"}}\n\n',
    "openai-transcription": b'event: error\ndata: {"type":"error","error":{"message":"busy"}}\n\n',
    "gemini:streamGenerateContent": b'data: {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}\r\n\r\n',
}
#: Answers longer than this are counted, not kept.
KEPT_BYTES = 256 * 1024


class FakeUpstream:
    """The ASGI application. `seen` holds a line per request: operation, model, secret, how it ended."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.received: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}
        self.release = asyncio.Event()
        self.held = 0
        self.echo = Echo(gap_s=0)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Send
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["path"].startswith("/__"):
            await self._tell(scope, send)
            return
        if scope["method"] == "GET":
            await _whole(send, 200, b'{"object":"list","data":[]}')
            return
        parts = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        line = _line(scope, body)
        self.seen.append(line)
        self.received[line["model"]] = body
        self.sent[line["model"]] = b""
        gone = asyncio.ensure_future(receive())
        answer = asyncio.ensure_future(self._answer(line, body, self._counting(line, send)))
        await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            line["disconnected"] = True
            answer.cancel()
        else:
            line["finished"] = True
            gone.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)

    async def _tell(self, scope: Message, send: Send) -> None:
        model = dict(parse_qsl(scope["query_string"].decode())).get("model")
        if scope["path"] == "/__seen":
            lines = [line for line in self.seen if model in {None, line["model"]}]
            await _whole(send, 200, json.dumps(lines).encode())
        elif scope["path"] == "/__held":
            await _whole(send, 200, str(self.held).encode())
        elif scope["path"] == "/__release":
            self.release.set()
            self.release = asyncio.Event()
            await _whole(send, 200, b"{}")
        else:
            kept = self.received if scope["path"] == "/__received" else self.sent
            await _whole(send, 200, kept.get(model or "", b""), content_type=b"application/octet-stream")

    def _counting(self, line: dict[str, Any], send: Send) -> Send:
        digest = hashlib.sha256()

        async def counted(message: Message) -> None:
            await send(message)
            part = message.get("body", b"")
            if part.startswith(b"{") and b'"usage"' in part:
                line["usage"] = json.loads(part)["usage"]
            line["sent_bytes"] += len(part)
            digest.update(part)
            line["sent_sha256"] = digest.hexdigest() if line["fault"] != "endless" else ""
            if line["sent_bytes"] <= KEPT_BYTES:
                self.sent[line["model"]] += part

        return counted

    async def _answer(self, line: dict[str, Any], body: bytes, send: Send) -> None:
        fault = line["fault"]
        if fault in STATUS_FAULTS:
            text = f"upstream says {fault}"
            error = {
                "error": {"type": "upstream_fault", "code": fault, "message": text, "status": "X"},
                "type": "error",
            }
            await _whole(send, STATUS_FAULTS[fault], json.dumps(error).encode(), RETRY_HEADERS.get(fault, []))
        elif fault == "html502":
            await _whole(send, 502, b"<html>Bad gateway</html>", content_type=b"text/html")
        elif fault == "redirect":
            await _whole(send, 302, b"", [(b"location", b"/v1/elsewhere")])
        elif fault == "malformed":
            await _whole(send, 200, b'{"id": "x", "choices": [{"mess')
        elif fault == "silent":
            await asyncio.sleep(3600)
        else:
            await self._echo(line, body, send)

    async def _echo(self, line: dict[str, Any], body: bytes, send: Send) -> None:
        response = await self.echo.send(
            UpstreamRequest(
                operation=line["operation"],
                model=line["model"],
                is_stream=line["is_stream"],
                method="POST",
                url="",
                headers=[("content-type", line["headers"].get("content-type", ""))],
                body=body,
                timeouts=Timeouts(),
            ),
            None,  # type: ignore[arg-type]
        )
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        chunks = self._misbehave(line, response.chunks) if line["is_stream"] else response.chunks
        async for chunk in chunks:
            if line["fault"] == "cut" and not line["is_stream"]:
                chunk = chunk[: len(chunk) // 2]
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if line["fault"] == "cut":
            raise ConnectionAbortedError  # uvicorn drops the connection in the middle of the body
        await send({"type": "http.response.body", "body": b""})

    async def _misbehave(self, line: dict[str, Any], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        fault = line["fault"]
        if fault == "early_error":
            yield ERROR_EVENTS[line["operation"]]
            return
        count = 0
        async for chunk in chunks:
            yield chunk
            count += 1
            if fault == "slow":
                await asyncio.sleep(0.05)
            if fault == "held" and count == 3:
                self.held += 1
                await self.release.wait()
                self.held -= 1
            if fault == "stall" and count == 3:
                await asyncio.sleep(3600)
            if fault == "endless" and count == 3:
                while True:
                    yield chunk * 50
                    await asyncio.sleep(0)
            if fault == "error" and count == 3:
                yield ERROR_EVENTS[line["operation"]]
                return
            if fault in {"cut", "empty"} and count == 3:
                return


def _line(scope: Message, body: bytes) -> dict[str, Any]:
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"]
    operation = next(
        found for end, found in sorted(OPERATIONS.items(), key=lambda kv: -len(kv[0])) if path.endswith(end)
    )
    is_form = headers.get("content-type", "").startswith("multipart/")
    try:
        parsed = _form_fields(body) if is_form else json.loads(body)
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
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "sent_bytes": 0,
        "body": parsed if is_form or len(body) < 20_000 else {},
    }


def _form_fields(body: bytes) -> dict[str, Any]:
    """Return the plain fields of a form."""
    found = re.findall(rb'form-data; name="(\w+)"\r\n\r\n([^\r]*)\r\n', body)
    fields = {name.decode(): value.decode() for name, value in found}
    return fields | {"stream": fields.get("stream") == "true"}


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
