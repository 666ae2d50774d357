"""RecordSink: a bounded hand-off of records to one COPY writer per process, with a spill while PostgreSQL is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import msgspec
import psycopg

from analytics.engine.live_feed import LivePublisher
from analytics.engine.record import RequestRecord
from analytics.engine.spill import Spill
from analytics.engine.writer import TRANSACTION_LIMIT_S, RecordWriter, why

log = logging.getLogger("routex.records")

CAPACITY: Final = 20_000
BATCH_ROWS: Final = 500
#: How long the first record of a batch waits for company.
BATCH_S: Final = 0.25
#: How long writing may take before a copy of the batch goes to the spill file. The oldest record that a killed process
#: had nowhere but in memory came as a slow write began, so it is at most 0.3 + 0.25 + 0.3 s old.
PATIENCE_S: Final = 0.3
#: How long `close` waits for a task that it cancelled: psycopg first asks the server to cancel, which may be away.
CANCEL_LIMIT_S: Final = 3.0
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
#: Drops are logged at most this often; the counter has every one.
LOG_EVERY_S: Final = 10.0

P = ParamSpec("P")
R = TypeVar("R")


class SinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How the sink is doing, for health and metrics. Counters run from the start of the process.

    `dropped`: lost, because the hand-off or the spill was full. `rejected`: refused by PostgreSQL even after cleaning.
    `unpublished`: stored, but live pages had to be told to read them again.
    """

    depth: int
    capacity: int
    written: int
    dropped: int
    rejected: int
    spilled: int
    spill_bytes: int
    unpublished: int
    is_spilling: bool
    oldest_unwritten_s: float


class RecordSink:
    """Takes records from the gateway and sees that they reach the request log.

    The ordinary way is one COPY per batch. When PostgreSQL is away, slow or refuses, batches go to the spill file
    instead, and a second task, the drain, writes the spill back in order, each record once whatever became of the
    COPY that failed; batches take the ordinary way again when the spill is empty.

    Everything runs on the event loop that called `start`; files are touched in worker threads.
    """

    def __init__(
        self,
        *,
        conninfo: str,
        spill_folder: Path,
        publisher: LivePublisher | None = None,
        capacity: int = CAPACITY,
        spill_limit_bytes: int = 256 * 1024 * 1024,
        on_stored: Callable[[Sequence[RequestRecord]], None] = lambda records: None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._conninfo = conninfo
        self._writer = RecordWriter(conninfo)
        self._publisher = publisher
        self._spill = Spill(spill_folder, limit_bytes=spill_limit_bytes)
        #: One thread for all that is done with files, one thing after the other.
        self._files = ThreadPoolExecutor(1, "record-spill")
        self._capacity = capacity
        #: Told of records that are in PostgreSQL, their charges included.
        self.on_stored = on_stored
        self._now_us = now_us
        self._buffer: deque[RequestRecord] = deque()
        #: Dropped records whose charges are still to be written: money is not dropped.
        self._owed: deque[RequestRecord] = deque()
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        #: The COPY under way, and when its oldest record finished.
        self._copying: asyncio.Task[int] | None = None
        self._copying_since_us = 0
        self._task: asyncio.Task[None] | None = None
        self._drain: asyncio.Task[None] | None = None
        self._spilling_since_us = 0
        self._is_taking_over = False
        self._dropped = self._spilled = 0
        self._dropped_logged = 0
        self._dropped_logged_at = 0.0

    async def start(self) -> None:
        """Start the writer, and take over what processes that died have left in the spill folder."""
        await self._take_over()
        if self._publisher is not None:
            self._publisher.start()
        self._task = asyncio.create_task(self._run(), name="record sink")

    def take_over(self) -> None:
        """Look again for what processes that died have left in the spill folder."""
        self._is_taking_over = True
        self._arrived.set()

    async def _take_over(self) -> None:
        self._is_taking_over = False
        try:
            left = await self._in_file_thread(self._spill.adopt)
        except OSError as error:
            left = 0
            log.error("The spill folder is of no use, so records are lost while PostgreSQL is away: %s", error)
        if left and self._drain is None:
            log.info("Request records of an earlier process (%d bytes) are written now.", left)
            self._start_drain(self._now_us())

    def put(self, record: RequestRecord) -> bool:
        """Hand a record over; return False when it was dropped because the hand-off is full or closed. Never waits."""
        if len(self._buffer) >= self._capacity or self._closing.is_set():
            self._drop([record], 1)
            return False
        self._buffer.append(record)
        if len(self._buffer) == 1:
            self._arrived.set()
        return True

    async def store(self, records: Sequence[RequestRecord]) -> None:
        """Write records that may be stored already, now or not at all, beside those that are handed over.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away or refuses.
        """
        writer = RecordWriter(self._conninfo)
        try:
            await writer.write_once(records)
        finally:
            await writer.disconnect()

    @property
    def is_taking_over(self) -> bool:
        """Whether anything from the spill folder is still to be written, or to be looked for."""
        return self._is_taking_over or self._drain is not None

    @property
    def state(self) -> SinkState:
        """Return the counters and how far behind the writing is."""
        waiting = [self._buffer[0].finished_us] if self._buffer else []
        waiting += [self._copying_since_us] if self._copying else []
        waiting += [self._spilling_since_us] if self._drain else []
        return SinkState(
            depth=len(self._buffer),
            capacity=self._capacity,
            written=self._writer.written,
            dropped=self._dropped,
            rejected=self._writer.rejected + self._spill.unreadable,
            spilled=self._spilled,
            spill_bytes=self._spill.size_bytes,
            unpublished=self._publisher.unpublished if self._publisher else 0,
            is_spilling=self._drain is not None,
            oldest_unwritten_s=max(0.0, (self._now_us() - min(waiting)) / 1e6) if waiting else 0.0,
        )

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, to the database as long as the time lasts and then to the spill file; take no more."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._arrived.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
        # What is left, a batch under way included, is safe before anything else that may take time.
        await self._keep(list(self._buffer))
        tasks = [task for task in (self._task, self._drain, self._copying) if task is not None]
        ends = asyncio.gather(*tasks, return_exceptions=True)
        ends.cancel()
        await asyncio.wait([ends], timeout=CANCEL_LIMIT_S)
        self._buffer.clear()
        await self._writer.disconnect()
        await self._in_file_thread(self._spill.close)
        self._files.shutdown()
        if self._publisher is not None:
            await self._publisher.close()
        self._log_drops(at_once=True)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._arrived.wait()
            self._arrived.clear()
            await _sleep_until(self._closing, BATCH_S)
            await self._write_waiting()
            await self._charge_owed()
            if self._is_taking_over:
                await self._take_over()
            self._log_drops()
        while self._buffer:
            await self._write_waiting()
        await self._charge_owed()

    async def _write_waiting(self) -> None:
        """Write what waits now; what comes meanwhile waits for company again."""
        waiting = len(self._buffer)
        deadline_s = time.monotonic() + PATIENCE_S
        while waiting > 0:
            batch = list(islice(self._buffer, min(BATCH_ROWS, waiting)))
            waiting -= len(batch)
            if self._drain is not None or not await self._is_copied(batch, deadline_s - time.monotonic()):
                await self._keep(batch)
                if self._drain is None:
                    self._start_drain(batch[0].finished_us)
            # Only now: until here they are there for `close`, should this task be cancelled.
            for _ in batch:
                self._buffer.popleft()
        if self._buffer:
            self._arrived.set()

    async def _is_copied(self, batch: Sequence[RequestRecord], patience_s: float) -> bool:
        """Write a batch the ordinary way; False when it must go to the spill, be it only to be safe."""
        self._copying = asyncio.create_task(self._writer.write(batch), name="record copy")
        await asyncio.wait([self._copying], timeout=max(0.0, patience_s))
        if not self._copying.done():
            # It may still succeed: the drain waits for it, and then writes only what is not stored.
            log.warning("PostgreSQL is slow to take request records; they go to the spill file as well.")
            return False
        copying, self._copying = self._copying, None
        error = copying.exception()
        if error is not None:
            log.warning("PostgreSQL takes no request records; they go to the spill file: %s", why(error))
            return False
        self.on_stored(batch)
        if self._publisher is not None:
            self._publisher.publish(batch, copying.result())
        return True

    async def _charge_owed(self) -> None:
        """Write the charges of dropped records; while PostgreSQL is away they stay owed."""
        owed = list(islice(self._owed, BATCH_ROWS))
        if not owed or self._drain is not None:
            return
        try:
            await self._writer.charge(owed)
        except (psycopg.Error, OSError) as error:
            log.warning("The charges of %d dropped request records wait: %s", len(self._owed), why(error))
            return
        self.on_stored(owed)
        for _ in owed:
            self._owed.popleft()

    def _drop(self, records: Sequence[RequestRecord], count: int) -> None:
        """Count so many of the records as dropped; which ones does not matter to their charges, written once anyway."""
        self._dropped += count
        self._owed += [record for record in records if record.charges]

    async def _keep(self, batch: Sequence[RequestRecord]) -> None:
        """Append to the spill; what it does not take is dropped and counted."""
        try:
            kept = await self._in_file_thread(self._spill.append, batch)
        except OSError as error:
            log.error("The spill file cannot be written: %s", error)
            kept = 0
        self._spilled += kept
        if kept < len(batch):
            self._drop(batch, len(batch) - kept)

    def _start_drain(self, since_us: int) -> None:
        self._spilling_since_us = since_us
        self._drain = asyncio.create_task(self._write_spill_back(), name="record spill")

    async def _write_spill_back(self) -> None:
        """The drain: bring the spill into the database, part by part, then end."""
        if self._copying is not None:
            await asyncio.wait([self._copying], timeout=TRANSACTION_LIMIT_S)
            self._copying.cancel()
            await asyncio.gather(self._copying, return_exceptions=True)
            self._copying = None
        failures = 0
        tenant_ids: set[str] = set()
        is_empty = False
        # Asked again and again, for psycopg too may swallow the cancellation by `close` (see live_feed._client).
        while not is_empty and not self._closing.is_set():
            # Whatever goes wrong, the records are safe in the file: wait and try again.
            [result] = await asyncio.gather(self._write_part(tenant_ids), return_exceptions=True)
            if not isinstance(result, BaseException):
                is_empty, failures = result, 0
                continue
            level = logging.DEBUG if failures else logging.WARNING
            log.log(level, "Request records wait in the spill file: %s", why(result))
            await self._writer.disconnect()
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1
        if not is_empty:
            return
        log.info("All request records of the spill file are in the database.")
        if self._publisher is not None:
            self._publisher.ask_replay(tenant_ids)

    async def _write_part(self, tenant_ids: set[str]) -> bool:
        """Write the next part of the spill; True when there was none, and the ordinary way is open again."""
        records = await self._in_file_thread(self._spill.read)
        if records:
            await self._writer.write_once(records)
            await self._in_file_thread(self._spill.done)
            self.on_stored(records)
            tenant_ids.update(record.tenant_id for record in records)
        elif self._spill.is_empty:
            # A batch that is set aside from here on starts its own drain.
            self._drain = None
            return True
        return False

    def _in_file_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        return asyncio.get_running_loop().run_in_executor(self._files, partial(function, *args, **kwargs))

    def _log_drops(self, *, at_once: bool = False) -> None:
        dropped = self._dropped - self._dropped_logged
        now_s = time.monotonic()
        if dropped and (at_once or now_s - self._dropped_logged_at >= LOG_EVERY_S):
            log.error("%d request records were dropped: the hand-off or the spill file was full.", dropped)
            self._dropped_logged, self._dropped_logged_at = self._dropped, now_s


async def _sleep_until(event: asyncio.Event, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return
