"""A tiny upstream: fixed answers in OpenAI Chat, as cheap as a Python process can make them.

`python -m bench.upstream PORT` serves one whole answer per POST, or, when the body asks for a stream, `CHUNKS` events
`GAP_S` apart, each stamped with the monotonic clock so that the load client sees how late it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import cast

import uvloop

CHUNKS = 50
GAP_S = 0.02

_ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + b"All systems are as they should be. " * 8 + b'","refusal":null},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":64,"total_tokens":184,'
    b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}'
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{"content":"%s @%d@ "},"logprobs":null,"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench",'
    b'"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":50,"total_tokens":170}}\n\ndata: [DONE]\n\n'
)


def chunk(body: bytes) -> bytes:
    """Return one piece of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%s\r\n" % (len(body), body)


class Connection(asyncio.Protocol):
    """One keep-alive connection; bodies arrive with a content length."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream nobody reads."""
        if self.stream is not None:
            self.stream.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            assert self.transport is not None
            if b'"stream":true' in body.replace(b" ", b""):
                self.stream = asyncio.ensure_future(self._stream(self.transport))
            else:
                self.transport.write(WHOLE)

    async def _stream(self, transport: asyncio.Transport) -> None:
        transport.write(STREAM_HEAD)
        for number in range(CHUNKS):
            await asyncio.sleep(GAP_S)
            transport.write(chunk(EVENT % (b"w%02d" % number, time.monotonic_ns())))
        transport.write(chunk(LAST) + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve until the process is told to stop."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(int(sys.argv[1])))
