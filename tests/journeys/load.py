"""Many streams at once through a gateway, each with a connection and a model name of its own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass

from tests.journeys.processes import Gateway, Upstream
from tests.journeys.tenants import as_bytes, chat

TEXT = " ".join(f"word{number}" for number in range(40))
#: Past this, streams that are still open count as lost.
LIMIT_S = 60.0


@dataclass(frozen=True)
class Streamed:
    """What came of one stream: the digest of its body, and whether its last chunk said that it is whole."""

    model: str
    status: int
    sha256: str
    is_whole: bool


async def streams(gateway: Gateway, upstream: Upstream, key: str, name: str, count: int) -> list[Streamed]:
    """Open so many streams, wait until all are in the middle of their answer at once, and read them to their end."""
    reading = [asyncio.create_task(_one(gateway, key, f"{name}-{number}+held")) for number in range(count)]
    give_up_s = time.monotonic() + LIMIT_S
    while await asyncio.to_thread(lambda: upstream.held) < count:
        assert time.monotonic() < give_up_s, f"only {upstream.held} of {count} streams arrived"
        await asyncio.sleep(0.05)
    await asyncio.to_thread(upstream.release)
    return await asyncio.wait_for(asyncio.gather(*reading), LIMIT_S)


async def _one(gateway: Gateway, key: str, model: str) -> Streamed:
    body = as_bytes(chat(model, TEXT, stream=True, stream_options={"include_usage": True}))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(head.encode() + body)
        status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
        digest, last = hashlib.sha256(), b""
        while size := int(await reader.readline() or b"-1", 16):
            if size < 0:
                break  # closed in the middle
            chunk = (await reader.readexactly(size + 2))[:-2]
            digest.update(chunk)
            last = chunk
        return Streamed(model, status, digest.hexdigest(), size == 0 and last.endswith(b"data: [DONE]\n\n"))
    finally:
        writer.close()
