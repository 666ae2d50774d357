"""Send one request to one candidate, and read as far as an error could still be answered by another try."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from channels_app.engine.errors import UpstreamBroken, UpstreamError, UpstreamStatus
from channels_app.engine.provider import UpstreamRequest, UpstreamResponse
from routing.engine.allowance import retry_after_s as asked_wait_s
from routing.engine.compression import is_plain, unpacked
from routing.engine.errors import BadRequest, GatewayError
from routing.engine.failures import ErrorInside, waits_of
from routing.engine.format import Answer, StreamReader
from routing.engine.formats import CODECS
from routing.engine.gateway import Gateway
from routing.engine.passage import Passage, PassThrough, Reshaped, reshaped
from routing.engine.snapshot import Candidate, Credential, Snapshot
from routing.engine.sse import EventTooLarge
from routing.engine.translation import looks_streamed

#: How much of an upstream's error body is kept: enough for any error, too little for an accident.
MAX_ERROR_BYTES = 64 * 1024
#: A whole answer larger than this is passed on as it comes, without being looked at.
MAX_WHOLE_BYTES = 64 * 1024 * 1024
#: A stream's prologue larger than this is committed (ADR 7).
MAX_PROLOGUE_BYTES = 64 * 1024


@dataclass(slots=True)
class Committed:
    """An answer that will be delivered: no failover from here on.

    A stream comes as `held` bytes and the `rest` still to arrive, followed by `reader`; a whole answer as `held`
    alone with its `facts`.
    """

    passage: Passage
    response: UpstreamResponse
    held: list[bytes]
    rest: AsyncIterator[bytes] | None = None
    reader: StreamReader | None = None
    facts: Answer = field(default_factory=Answer)

    @property
    def candidate(self) -> Candidate:
        """Return who answers."""
        return self.passage.candidate

    @property
    def content_type(self) -> bytes:
        """Return the type of a whole answer."""
        own = self.response.header(b"content-type") if isinstance(self.passage, PassThrough) else b""
        return own or b"application/json"


async def send(passage: Passage, credential: Credential, snapshot: Snapshot, gateway: Gateway) -> Committed:
    """Return an answer that may be committed.

    Raises:
        UpstreamError: none came, or one that must not be delivered.
    """
    call = passage.call
    provider = passage.candidate.channel.provider
    request = await provider.sign(await request_to(passage, snapshot), credential.secret, gateway.upstreams)
    call.sent_to = passage.candidate
    response = await provider.send(request, gateway.upstreams)
    try:
        if not is_plain(encoding := response.header(b"content-encoding")):
            response.chunks = unpacked(response.chunks, encoding)
            response.headers = [each for each in response.headers if each[0].lower() != b"content-length"]
        if response.status >= 300:
            raise await _status(passage, response)
        call.connect_ms = response.connect_ms
        content_type = response.header(b"content-type").lower()
        reading = passage.reads_as(content_type)
        if reading == "events":
            return await _hold_prologue(passage, response, gateway)
        if reading == "bytes":
            return await _first_bytes(passage, response, content_type)
        return await _read_whole(passage, response, gateway)
    except BaseException:
        await response.close()
        raise


async def request_to(passage: Passage, snapshot: Snapshot) -> UpstreamRequest:
    """Return what is sent to the candidate, all but its credential; an upload may have to be here whole first."""
    call, channel = passage.call, passage.candidate.channel
    model = passage.candidate.upstream_model
    assert call.asked is not None
    return UpstreamRequest(
        operation=passage.operation,
        model=model,
        is_stream=call.asked.is_stream,
        method="POST",
        url=channel.provider.url(channel.spec.base_url or channel.provider.base_url, passage.operation, model),
        headers=passage.headers(),
        body=passage.body(),
        timeouts=channel.timeouts,
        private_networks=snapshot.private_networks,
        source=await passage.source(),
    )


async def _status(passage: Passage, response: UpstreamResponse) -> UpstreamStatus:
    """Return an error answer, with the seconds that it asks to wait wherever its format says so."""
    body = passage.without_credentials(await read_body(response, MAX_ERROR_BYTES))
    headers = {name.lower(): value for name, value in response.headers}
    retry_after_s = asked_wait_s(response.headers, time.time())
    if retry_after_s is None and passage.format in CODECS:
        retry_after_s = CODECS[passage.format].decode_error(body, waits_of(response.status, headers)).retry_after_s
    content_type = response.header(b"content-type")
    return UpstreamStatus(response.status, body, content_type, retry_after_s=retry_after_s, headers=headers)


async def _read_whole(passage: Passage, response: UpstreamResponse, gateway: Gateway) -> Committed:
    body = await read_body(response, MAX_WHOLE_BYTES)
    if len(body) >= MAX_WHOLE_BYTES:
        if not isinstance(passage, PassThrough):
            raise UpstreamBroken(f"the answer is longer than {MAX_WHOLE_BYTES >> 20} MB")
        return Committed(passage, response, [body], rest=response.chunks)
    if isinstance(passage, PassThrough) and passage.call.is_conversation and looks_streamed(body):
        passage = _reshaped(passage, gateway)
    try:
        told, facts = passage.read_whole(body)
    except ErrorInside as error:
        said = passage.shown(str(error)) or "a web page"
        raise _status_or(error.status, f"it answered with an error inside: {said}") from _told(passage, error.error)
    except ValueError as error:
        said = passage.shown(str(error)) or "a web page"
        raise UpstreamBroken(f"the answer is not what the format promises: {said}") from error
    await response.close()
    return Committed(passage, response, [told], facts=facts)


async def _first_bytes(passage: Passage, response: UpstreamResponse, content_type: bytes) -> Committed:
    """Read until something has come of an answer that cannot be checked: sound, or plain text."""
    if content_type.startswith(b"text/html"):
        raise UpstreamBroken("it answered with a web page")
    first = await anext(response.chunks, b"")
    if not first and not content_type.startswith(b"text/"):
        raise UpstreamBroken("the answer is empty")
    return Committed(passage, response, [first], rest=response.chunks)


async def _hold_prologue(passage: Passage, response: UpstreamResponse, gateway: Gateway) -> Committed:
    """Read until the commit point: the first content event, 64 KB, or some seconds (ADR 7)."""
    content_type = response.header(b"content-type")
    is_whole = b"json" in content_type and b"event-stream" not in content_type
    if is_whole and isinstance(passage, PassThrough):
        passage = _reshaped(passage, gateway)
    reader = passage.reader()
    held: list[bytes] = []
    size = 0
    committed = Committed(passage, response, held, rest=response.chunks, reader=reader)
    commit_at_s = time.monotonic() + gateway.commit_after_s
    while size < MAX_PROLOGUE_BYTES:
        pending = asyncio.ensure_future(anext(response.chunks, None))
        try:
            done, _ = await asyncio.wait((pending,), timeout=commit_at_s - time.monotonic())
        except asyncio.CancelledError:
            pending.cancel()
            raise
        if not done:
            committed.rest = _after(pending, response.chunks)
            return committed
        chunk = pending.result()
        if chunk is None:
            held.append(reader.finish())
            committed.rest = None
            if not (reader.is_complete and not reader.failure):
                raise _early_fault(reader) from _told(passage, reader.error)
            return committed
        try:
            out = reader.feed(chunk)
        except EventTooLarge as error:
            raise UpstreamBroken(str(error)) from error
        held.append(out)
        size += len(out)
        if reader.failure and not reader.has_content:
            raise _early_fault(reader) from _told(passage, reader.error)
        if reader.has_content or reader.is_complete:
            break
    return committed


def _reshaped(passage: PassThrough, gateway: Gateway) -> Reshaped:
    """Return how to read a stream that was not asked for, or a whole answer in place of one.

    Raises:
        UpstreamBroken: the client cannot be told it in the shape that it asked for.
    """
    call = passage.call
    assert call.asked is not None
    asked, came = ("a stream", "a whole answer") if call.asked.is_stream else ("a whole answer", "a stream")
    broken = UpstreamBroken(f"it was asked for {asked} and sent {came}")
    if not call.is_conversation:
        raise broken
    try:
        return reshaped(passage, gateway.memory)
    except BadRequest as error:
        raise broken from error


def _told(passage: Passage, error: GatewayError | None) -> GatewayError | None:
    """Return what an upstream said inside an answer, without the channel's credentials."""
    if error is not None:
        error.message = passage.shown(error.message)
    return error


def _early_fault(reader: StreamReader) -> UpstreamError:
    said = "the stream said error before its first content" if reader.failure else "the stream ended before it began"
    return _status_or(reader.failure_status, said)


def _status_or(status: int, broken: str) -> UpstreamError:
    """Return what an error inside an answer of status 200 stands for."""
    if status in {400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529}:
        return UpstreamStatus(status, b"")
    return UpstreamBroken(broken)


async def read_body(response: UpstreamResponse, limit: int) -> bytes:
    """Return the body up to about the limit."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _after(first: asyncio.Future[bytes | None], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunk that is already being waited for, then the rest."""
    try:
        chunk = await first
    finally:
        first.cancel()
    if chunk is not None:
        yield chunk
        async for chunk in rest:
            yield chunk
