"""The load client: keep-alive requests as fast as answers come, or concurrent streams whose events are timed.

`python -m bench.load whole PORT FORMAT CONNECTIONS SECONDS KEY MODEL` and
`python -m bench.load streams PORT FORMAT STREAMS SECONDS KEY MODEL` print one line of JSON. Bounded in time and count.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from bench.formats import SPOKEN, Spoken
from bench.upstream import CHUNKS

STAMP = re.compile(rb"@(\d+)@")


class Whole(asyncio.Protocol):
    """Sends a request, waits for its whole answer, sends the next."""

    def __init__(self, message: bytes, latencies_ns: list[int], failures: list[bytes]) -> None:
        self.message = message
        self.latencies_ns = latencies_ns
        self.failures = failures
        self.buffer = b""
        self.sent_ns = 0
        self.is_stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self.sent_ns = time.monotonic_ns()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        """Take an answer and send the next request."""
        self.buffer = self.buffer + data if self.buffer else data
        if not is_whole(self.buffer):
            return
        self.latencies_ns.append(time.monotonic_ns() - self.sent_ns)
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            self.failures.append(self.buffer[:200])
        self.buffer = b""
        if self.is_stopping:
            self.transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server closed."""
        if not self.is_stopping:
            self.failures.append(b"connection lost")


def is_whole(answer: bytes) -> bool:
    """Whether a buffer holds one whole answer."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(b"content-length:")
    if at >= 0:
        return len(answer) >= end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
    return answer.endswith(b"0\r\n\r\n")


async def run_whole(
    port: int, spoken: Spoken, connections: int, seconds: float, key: str, model: str
) -> dict[str, Any]:
    """Return requests per second and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    latencies: list[int] = []
    failures: list[bytes] = []
    message = spoken.request(key, model, is_stream=False)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Whole(message, latencies, failures), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(min(1.0, seconds / 4))  # warm-up: connections, caches, the first snapshot
    warmed = len(latencies)
    latencies.clear()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    elapsed_s = time.monotonic() - began
    count = len(latencies)
    for client in clients:
        client.is_stopping = True
    ordered = sorted(latencies) or [0]
    await asyncio.sleep(0.2)
    return {
        "requests": count,
        "sent": warmed + len(latencies),
        "rps": count / elapsed_s,
        "p50_ms": ordered[len(ordered) // 2] / 1e6,
        "p99_ms": ordered[int(len(ordered) * 0.99)] / 1e6,
        "failures": len(failures),
        "first_failure": failures[0].decode("latin-1") if failures else "",
    }


@dataclass
class Streams:
    """What all streams of a run saw, in nanoseconds."""

    first_ns: list[int] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    events: int = 0
    merged: int = 0
    done: int = 0
    cut: int = 0
    lost: int = 0


class Stream(asyncio.Protocol):
    """One streamed request on its own connection."""

    def __init__(self, message: bytes, spoken: Spoken, seen: Streams) -> None:
        self.message = message
        self.spoken = spoken
        self.seen = seen
        self.over = asyncio.get_running_loop().create_future()
        self.events = 0
        self.has_end = False
        self.is_repeating = False
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = cast(asyncio.Transport, transport)
        self.sent_ns = time.monotonic_ns()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        """Time every event that this read brought."""
        now = time.monotonic_ns()
        data = self.tail + data
        stamps = STAMP.findall(self._new(data))
        self.tail = data[-40:] if not data.endswith(b"\n") else b""
        if self.tail and STAMP.search(self.tail):
            self.tail = b""
        if stamps:
            if not self.events:
                self.seen.first_ns.append(now - self.sent_ns)
            self.events += len(stamps)
            self.seen.merged += len(stamps) - 1
            self.seen.late_ns.extend(now - int(stamp) for stamp in stamps)
        if self.spoken.end in data:
            self.has_end = True
        if self.has_end and data.endswith((b"0\r\n\r\n", b"\n\n")):
            self._finish()

    def _new(self, data: bytes) -> bytes:
        """Return what may hold events not seen yet: some formats end by saying the whole text again."""
        if self.is_repeating or not self.spoken.repeats:
            return b"" if self.is_repeating else data
        new, mark, _ = data.partition(self.spoken.repeats)
        self.is_repeating = bool(mark)
        return new

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is over, one way or the other."""
        self._finish()


async def run_streams(port: int, spoken: Spoken, streams: int, seconds: float, key: str, model: str) -> dict[str, Any]:
    """Return added times of events; every stream is followed by another until the time is over."""
    loop = asyncio.get_running_loop()
    seen = Streams()
    message = spoken.request(key, model, is_stream=True)
    end_s = time.monotonic() + seconds

    async def one_after_another(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while time.monotonic() < end_s:
            _, stream = await loop.create_connection(lambda: Stream(message, spoken, seen), "127.0.0.1", port)
            try:
                await asyncio.wait_for(stream.over, timeout=30)
            except TimeoutError:
                seen.cut += 1
                stream.transport.abort()
                continue
            seen.events += stream.events
            seen.lost += CHUNKS - stream.events
            if stream.has_end:
                seen.done += 1
            else:
                seen.cut += 1

    await asyncio.gather(*(one_after_another(number / streams) for number in range(streams)))
    first, late = sorted(seen.first_ns) or [0], sorted(seen.late_ns) or [0]
    return {
        "streams": seen.done,
        "cut": seen.cut,
        "lost": seen.lost,
        "events": seen.events,
        "merged_pct": 100 * seen.merged / max(1, seen.events),
        "ttft_p50_ms": first[len(first) // 2] / 1e6,
        "ttft_p99_ms": first[int(len(first) * 0.99)] / 1e6,
        "late_p50_ms": late[len(late) // 2] / 1e6,
        "late_p99_ms": late[int(len(late) * 0.99)] / 1e6,
    }


def main() -> None:
    """Run what the arguments say and print its line."""
    kind, port, name, count, seconds, key, model = sys.argv[1:]
    run = {"whole": run_whole, "streams": run_streams}[kind]
    print(json.dumps(uvloop.run(run(int(port), SPOKEN[name], int(count), float(seconds), key, model))))


if __name__ == "__main__":
    main()
