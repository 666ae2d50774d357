"""Deliver a committed answer: chunk by chunk without waiting, heartbeats in silences, an error event after a cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from channels_app.engine.errors import UpstreamError, UpstreamTimeout
from routing.engine.admission import limit_headers
from routing.engine.call import Call
from routing.engine.errors import GatewayError, UpstreamFailed, UpstreamTimedOut, printable
from routing.engine.failures import told_id
from routing.engine.format import CHARS_PER_TOKEN, StreamReader
from routing.engine.gateway import Gateway
from routing.engine.losses import listed
from routing.engine.rating import rate
from routing.engine.sending import Committed
from routing.engine.snapshot import Candidate
from routing.engine.sse import EventTooLarge
from tenants.engine.money import usd_text

Header = tuple[bytes, bytes]
#: Clients and proxies refuse an answer whose headers are long; 8 KB for all of them is the least that is common.
MAX_WARNINGS_CHARS = 4000
#: Where a channel serves `*`, the model's name is the caller's own word.
MAX_MODEL_CHARS = 500


class Reply(Protocol):
    """The way back to the client. `write` waits while the client does not read: that is the back-pressure."""

    async def start(self, status: int, headers: list[Header]) -> None:
        """Send status and headers."""
        ...

    async def write(self, body: bytes) -> None:
        """Send a piece of the body."""
        ...

    async def end(self, body: bytes = b"") -> None:
        """Send the last piece."""
        ...


async def relay(call: Call, answer: Committed, reply: Reply, gateway: Gateway) -> None:
    """Deliver the answer and note on the call what it turned out to be."""
    try:
        if answer.reader is not None:
            await _relay_stream(call, answer, answer.reader, reply, gateway)
        else:
            await _relay_whole(call, answer, reply)
    finally:
        call.warnings = _warnings(answer)
        await answer.response.close()


class AnswerCut(Exception):
    """An answer that has no words for an error broke off: its connection must be cut, so that nobody takes it whole."""


async def _relay_whole(call: Call, answer: Committed, reply: Reply) -> None:
    call.usage, call.reported_model = answer.facts.usage, answer.facts.model
    call.first_token_ms = call.elapsed_ms()
    headers = [(b"content-type", answer.content_type), *answer_headers(call, answer.candidate), *_about(answer)]
    if call.usage is None:
        call.passed_tokens = len(answer.held[0]) // CHARS_PER_TOKEN
    rate(call)
    if call.cost_nano_usd is not None:
        headers.append((b"x-routex-cost-usd", usd_text(call.cost_nano_usd).encode()))
    if answer.rest is None:
        headers.append((b"content-length", str(len(answer.held[0])).encode()))
        await reply.start(200, headers)
        await reply.end(answer.held[0])
        return
    if length := answer.response.header(b"content-length"):
        headers.append((b"content-length", length))
    await reply.start(200, headers)
    await reply.write(answer.held[0])
    try:
        async for chunk in answer.rest:
            await reply.write(chunk)
    except UpstreamError as fault:
        slug = answer.candidate.channel.spec.slug
        call.outcome, call.error = "cut", UpstreamFailed(f"Channel `{slug}` broke off its answer: {fault}.")
        raise AnswerCut from fault
    await reply.end()


async def _relay_stream(call: Call, answer: Committed, reader: StreamReader, reply: Reply, gateway: Gateway) -> None:
    assert call.asked is not None
    call.first_token_ms = call.elapsed_ms() if reader.has_content else None
    headers = [
        (b"content-type", call.format.stream_type(call.asked)),
        (b"x-accel-buffering", b"no"),
        *answer_headers(call, answer.candidate),
        *_about(answer),
    ]
    await reply.start(200, headers)
    pulse = Pulse(call.format.heartbeat, gateway.heartbeat_s, reply.write)
    fault: Exception | None = None
    try:
        if any(answer.held):
            await reply.write(_shown(b"".join(answer.held), answer, reader))
        if answer.rest is not None:
            async for chunk in answer.rest:
                out = reader.feed(chunk)
                if call.first_token_ms is None and reader.has_content:
                    call.first_token_ms = call.elapsed_ms()
                if out:
                    pulse.beat()
                    await reply.write(_shown(out, answer, reader))
    except (UpstreamError, EventTooLarge) as error:
        fault = error
    finally:
        pulse.stop()
        call.usage, call.reported_model = reader.usage, reader.model
        if reader.usage is None or not reader.is_complete:
            call.passed_tokens = reader.passed_tokens
    tail = reader.finish() if answer.rest is not None else b""
    await reply.end(tail + _last_words(call, answer, reader, fault, gateway))


def _shown(out: bytes, answer: Committed, reader: StreamReader) -> bytes:
    """Return a piece of a stream; one that holds an upstream's error must not hold its credential."""
    return answer.passage.without_credentials(out) if reader.failure else out


def _last_words(
    call: Call, answer: Committed, reader: StreamReader, fault: Exception | None, gateway: Gateway
) -> bytes:
    """Return the error event that a broken stream ends with; nothing for one that is complete."""
    slug = answer.candidate.channel.spec.slug
    if reader.is_complete:
        if reader.failure:
            # The upstream said it itself, in the client's format, and that has been passed on.
            call.outcome, call.error = "cut", UpstreamFailed(f"Channel `{slug}` reported an error inside the stream.")
        return b""
    told = f" after {reader.usage.output_tokens} tokens" if reader.usage and reader.usage.output_tokens else ""
    error: GatewayError
    if isinstance(fault, UpstreamTimeout):
        error = UpstreamTimedOut(f"Channel `{slug}` fell silent{told}: {fault}.")
    else:
        error = UpstreamFailed(f"Channel `{slug}` closed the stream before its end{told}. The answer is not complete.")
    call.outcome, call.error = "cut", error
    error.docs = gateway.docs_of(error.code)
    return reader.error_event(error, call.id)


def _about(answer: Committed) -> list[Header]:
    """Return the upstream's own id, and what could not be carried whole as far as it is known by now."""
    codes = _warnings(answer)
    warnings = [(b"x-routex-warnings", listed(codes, MAX_WARNINGS_CHARS).encode("ascii", "replace"))] if codes else []
    return [*told_id(answer.response.headers), *warnings]


def _warnings(answer: Committed) -> tuple[str, ...]:
    """Return the codes of what was changed before the channel was chosen and for it, each once."""
    return tuple(dict.fromkeys((*answer.passage.call.clamps, *answer.passage.warnings)))


def answer_headers(call: Call, candidate: Candidate) -> list[Header]:
    """Return what every delivered answer carries besides its own content headers."""
    request_id = call.id.encode()
    headers = [
        (b"x-request-id", request_id),
        (b"x-routex-channel", candidate.channel.spec.slug.encode()),
        (b"x-routex-model", printable(candidate.upstream_model[:MAX_MODEL_CHARS]).encode("utf-8", "replace")),
        (b"x-routex-attempts", str(call.tries).encode()),
        (b"cache-control", b"no-store"),
        *timing_headers(call),
    ]
    own_name = call.format.request_id_header
    if own_name != b"x-request-id":
        headers.append((own_name, request_id))
    if call.decision.rule:
        headers.append((b"x-routex-rule", call.decision.rule.encode()))
    headers += limit_headers(call)
    return headers


def timing_headers(call: Call) -> list[Header]:
    """Return what is known by now of where the time went; parts that did not happen are left out."""
    total_ms, upstream_ms = call.elapsed_ms(), 0.0
    for attempt in call.attempts:
        upstream_ms += attempt.duration_ms
    told = f"queue;dur={call.queue_ms:.1f}, " if call.queue_ms else ""
    if call.served_by is not None:
        told += f"connect;dur={call.connect_ms:.1f}, "
    if call.first_token_ms is not None:
        told += f"ttft;dur={call.first_token_ms:.1f}, "
    if call.tries:
        told += f"upstream;dur={upstream_ms:.1f}, "
    headers = [(b"server-timing", f"{told}total;dur={total_ms:.1f}".encode())]
    if own_name := call.format.duration_header:
        headers.append((own_name, b"%d" % total_ms))
    return headers


class Pulse:
    """Writes a heartbeat whenever nothing was written for a while; costs one timer, not one per chunk."""

    def __init__(
        self,
        heartbeat: bytes,
        silence_s: float,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._heartbeat = heartbeat
        self._silence_s = silence_s
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._last_s = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(silence_s, self._tick) if heartbeat else None

    def beat(self) -> None:
        """Note that something was written."""
        self._last_s = self._loop.time()

    def stop(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._last_s
        # A beat that still waits is back-pressure: the client is not reading, and needs no sign of life.
        if silent_s >= self._silence_s and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._send())
            silent_s = 0.0
        self._timer = self._loop.call_later(max(0.05, self._silence_s - silent_s), self._tick)

    async def _send(self) -> None:
        self.beat()
        await self._write(self._heartbeat)
