"""Live feed: finished requests over Valkey, from the process that wrote them to the processes that show them."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec
import valkey.asyncio
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError

from analytics.engine.copy_text import UNWRITABLE
from analytics.engine.record import Outcome, RequestRecord
from tenants.engine.money import usd_text

log = logging.getLogger("routex.live")

CHANNEL_PREFIX: Final = "routex:live:"
#: Batches that may wait for Valkey; a page that misses one is told to read it from the database.
WAITING_BATCHES: Final = 50
ANSWER_LIMIT_S: Final = 2.0
#: A subscription that hears nothing for this long asks whether Valkey is still there.
SILENCE_S: Final = 5.0
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class LiveRow(msgspec.Struct, frozen=True, kw_only=True):
    """One finished request as the request list shows it. Tokens are None when the answer did not say."""

    id: str
    started_us: int
    finished_us: int
    operation: str
    is_stream: bool
    status: int
    outcome: Outcome
    error_code: str
    asked_model: str
    upstream_model: str
    channel_slug: str
    key_id: str
    key_slug: str
    session_id: str
    attempts: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    #: A decimal string, exact; None when the cost is not known.
    cost_usd: str | None
    first_token_ms: float | None
    total_ms: float


class LiveRows(msgspec.Struct, frozen=True, tag_field="type", tag="rows"):
    """Rows for the page. `recorded_us` is the database's time of writing: the page asks for what came after it."""

    recorded_us: int
    rows: list[LiveRow]


class LiveReplay(msgspec.Struct, frozen=True, tag_field="type", tag="replay"):
    """Rows went past the feed: whoever shows the tenant's requests reads them from the database."""


class _RowsHead(msgspec.Struct, frozen=True, tag_field="type", tag="rows"):
    """Rows, of which the process in the middle needs only this."""

    recorded_us: int


class Resubscribed(msgspec.Struct, frozen=True):
    """The subscription has begun, or begun again: what was said before it was not heard."""


class Heard(msgspec.Struct, frozen=True):
    """A message for the pages of one tenant; `recorded_us` is None when it says to read the database."""

    tenant_id: str
    payload: str
    recorded_us: int | None


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_RowsHead | LiveReplay).decode


def live_row(record: RequestRecord) -> LiveRow:
    """Return what the request list shows of a record."""
    usage = record.usage
    return LiveRow(
        id=record.id,
        started_us=record.started_us,
        finished_us=record.finished_us,
        operation=record.operation,
        is_stream=record.is_stream,
        status=record.status,
        outcome=record.outcome,
        error_code=record.error_code,
        asked_model=record.asked_model,
        upstream_model=record.upstream_model,
        channel_slug=record.channel_slug,
        key_id=record.key_id,
        key_slug=record.key_slug,
        session_id=record.session_id,
        attempts=len(record.attempts),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cache_read_tokens=usage.cache_read_tokens if usage else None,
        cost_usd=None if record.cost_nano_usd is None else usd_text(record.cost_nano_usd),
        first_token_ms=record.first_token_ms,
        total_ms=record.total_ms,
    )


def encode_rows(recorded_us: int, rows: list[LiveRow]) -> bytes:
    """Return the message that the page takes."""
    return _encode(LiveRows(recorded_us, rows))


class LivePublisher:
    """Says on Valkey what was written: one message per batch and tenant, from one task, never waited for.

    While Valkey is away batches are forgotten and counted in `unpublished`; afterwards the pages of their tenants are
    told to read them from the database.
    """

    def __init__(self, url: str) -> None:
        self._client = _client(url)
        self._waiting: deque[tuple[Sequence[RequestRecord], int]] = deque()
        self._missed: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.unpublished = 0

    def start(self) -> None:
        """Start the task; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="live publisher")

    def publish(self, records: Sequence[RequestRecord], recorded_us: int) -> None:
        """Hand over a batch that is in the database."""
        if len(self._waiting) >= WAITING_BATCHES:
            self._forget([self._waiting.popleft()[0]])
        self._waiting.append((records, recorded_us))
        self._wake.set()

    def ask_replay(self, tenant_ids: Iterable[str]) -> None:
        """Make the pages of these tenants read from the database."""
        self._missed.update(tenant_ids)
        self._wake.set()

    async def close(self) -> None:
        """Stop; what still waits is forgotten."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._client.aclose()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            batches, missed = list(self._waiting), frozenset(self._missed)
            self._waiting.clear()
            # Whatever goes wrong, the pages can still read the database: wait and try again.
            [error] = await asyncio.gather(self._send(batches, missed), return_exceptions=True)
            if error is None:
                self._missed -= missed
                failures = 0
                continue
            self._forget([records for records, _ in batches])
            if not failures:
                log.warning("Live pages hear nothing until Valkey is back: %s", str(error) or type(error).__name__)
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1
            self._wake.set()

    async def _send(self, batches: list[tuple[Sequence[RequestRecord], int]], missed: frozenset[str]) -> None:
        async with asyncio.timeout(ANSWER_LIMIT_S), self._client.pipeline(transaction=False) as pipeline:
            for records, recorded_us in batches:
                by_tenant: defaultdict[str, list[RequestRecord]] = defaultdict(list)
                for record in records:
                    by_tenant[record.tenant_id].append(record)
                for tenant_id, its_records in by_tenant.items():
                    pipeline.publish(CHANNEL_PREFIX + tenant_id, _message(its_records, recorded_us))
            for tenant_id in missed:
                pipeline.publish(CHANNEL_PREFIX + tenant_id, _encode(LiveReplay()))
            await pipeline.execute()

    def _forget(self, batches: Iterable[Sequence[RequestRecord]]) -> None:
        for records in batches:
            self.unpublished += len(records)
            self._missed.update(record.tenant_id for record in records)


def _message(records: Sequence[RequestRecord], recorded_us: int) -> bytes:
    try:
        return encode_rows(recorded_us, [live_row(record) for record in records])
    except UNWRITABLE:
        # Some text is no text; the database has it cleaned.
        return _encode(LiveReplay())


async def subscribe(url: str) -> AsyncGenerator[Resubscribed | Heard]:
    """Yield what is said about every tenant, for ever; connect again, with growing pauses, when Valkey goes away."""
    client = _client(url)
    failures = 0
    try:
        while True:
            try:
                async with aclosing(_listen(client)) as messages:
                    async for message in messages:
                        failures = 0
                        yield message
            except (ValkeyError, OSError) as error:
                if not failures:
                    log.warning("Live pages wait for Valkey: %s", str(error) or type(error).__name__)
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
    finally:
        await client.aclose()


async def _listen(client: valkey.asyncio.Valkey) -> AsyncGenerator[Resubscribed | Heard]:
    async with client.pubsub() as pubsub:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await pubsub.psubscribe(CHANNEL_PREFIX + "*")
        is_asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is None:
                if is_asked:
                    raise TimeoutError("Valkey does not answer.")
                await pubsub.ping()
                is_asked = True
                continue
            is_asked = False
            if message["type"] == "psubscribe":
                yield Resubscribed()
            elif message["type"] == "pmessage":
                heard = _heard(message["channel"], message["data"])
                if heard is not None:
                    yield heard


def _heard(channel: bytes, payload: bytes) -> Heard | None:
    try:
        head = _decode_head(payload)
        tenant_id, text = channel.decode().removeprefix(CHANNEL_PREFIX), payload.decode()
    except ValueError:  # msgspec's and Unicode's are of that kind
        log.warning("A message on %r is not in the form of the live feed.", channel)
        return None
    return Heard(tenant_id, text, head.recorded_us if isinstance(head, _RowsHead) else None)


def _client(url: str) -> valkey.asyncio.Valkey:
    # valkey-py and not redis-py, which it was forked from: importing it costs a gateway 8 MB instead of 20.
    # It retries by itself otherwise, which would hide a gap.
    client: valkey.asyncio.Valkey = valkey.asyncio.Valkey.from_url(
        url,
        socket_connect_timeout=ANSWER_LIMIT_S,
        # With a socket_timeout valkey-py sends through asyncio.wait_for, which before Python 3.12 may swallow a
        # cancellation (https://github.com/python/cpython/issues/86296); the limits are set around the calls instead.
        socket_timeout=None,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        client_name="routex-live",
    )
    return client
