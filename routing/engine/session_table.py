"""Sessions in PostgreSQL: written in batches beside the requests, read at the start and when others changed some."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from routing.engine.sessions import Name, Pin, Sessions
from tenants.engine.ids import new_id

logger = logging.getLogger("routex.sessions")

#: How often changes are written, and those of other processes read.
FLUSH_S = 0.5
READ_S = 1.0
#: The newest sessions that a process reads when it starts.
READ_AT_START = 20_000
BATCH_ROWS = 1000
#: Of session and model each: both must fit an index entry.
MAX_NAME_BYTES = 1300
#: Pauses between attempts to reach a database that went away.
RETRY_S = (0.5, 1.0, 2.0, 5.0)

_COLUMNS = (
    "tenant_id, session, model, channel_id, credential, cached_tokens, "
    "extract(epoch FROM used_at)::float8, extract(epoch FROM expires_at)::float8"
)
_START_SQL = f"""
SELECT {_COLUMNS} FROM analytics_sessionpin WHERE expires_at > now() ORDER BY used_at DESC LIMIT {READ_AT_START}
"""  # noqa: S608 constants
_CHANGED_SQL = f"SELECT {_COLUMNS} FROM analytics_sessionpin WHERE written_by >= %s"  # noqa: S608 constants
# As with keys: what a transaction wrote that was still running then is read again next time.
_HORIZON_SQL = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_WRITE_SQL = """
INSERT INTO analytics_sessionpin AS old (
    id, tenant_id, session, model, channel_id, credential, cached_tokens, begun_at, used_at, expires_at, written_by
)
SELECT id, tenant_id, session, model, channel_id, credential, cached_tokens,
       to_timestamp(used_s), to_timestamp(used_s), to_timestamp(expires_s), pg_current_xact_id()::text::bigint
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::float8[],
            %s::float8[])
    AS new (id, tenant_id, session, model, channel_id, credential, cached_tokens, used_s, expires_s)
ON CONFLICT (tenant_id, session, model) DO UPDATE SET
    channel_id = excluded.channel_id, credential = excluded.credential, cached_tokens = excluded.cached_tokens,
    used_at = excluded.used_at, expires_at = excluded.expires_at, written_by = excluded.written_by
    WHERE old.used_at <= excluded.used_at
"""
_CLEAN_SQL = "DELETE FROM analytics_sessionpin WHERE tenant_id = ANY(%s) AND expires_at <= now()"


class SessionTable:
    """Keeps `sessions` and the table together. Valkey tells other processes at once; this is what survives it."""

    def __init__(self, database_url: str, sessions: Sessions) -> None:
        self._url = database_url
        self._sessions = sessions
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None
        self._horizon: int | None = None
        self._read_at_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()

    async def start(self, patience_s: float) -> None:
        """Begin, and wait a little for the sessions of earlier processes."""
        self._task = asyncio.create_task(self._run(), name="session table")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._loaded.wait()

    async def stop(self) -> None:
        """Write what still waits, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._flush()
        if self._connection is not None:
            await self._connection.close()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._read()
                await self._flush()
                await self._clean()
                failures = 0
            except (psycopg.Error, OSError) as error:
                if not failures:
                    logger.warning("sessions wait for the database (%s)", type(error).__name__)
                await self._disconnect()
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
            else:
                await asyncio.sleep(FLUSH_S)

    async def _read(self) -> None:
        """Learn what other processes, an operator, or this one's predecessor have written."""
        if self._horizon is not None and time.monotonic() - self._read_at_s < READ_S:
            return
        ((horizon,),) = await self._fetch(_HORIZON_SQL)
        if self._horizon is None:
            rows = reversed(await self._fetch(_START_SQL))  # the newest last: they are forgotten last
        else:
            rows = iter(await self._fetch(_CHANGED_SQL, (self._horizon,)))
        for tenant_id, session, model, channel_id, credential, cached_tokens, used_s, expires_s in rows:
            pin = Pin(channel_id, credential, used_s, expires_s, cached_tokens)
            self._sessions.learn(tenant_id, (session, model), pin, is_final=not channel_id)
        self._horizon, self._read_at_s = horizon, time.monotonic()
        self._loaded.set()

    async def _flush(self) -> None:
        waiting = self._sessions.waiting
        while waiting:
            names = list(waiting)[:BATCH_ROWS]
            batch = [(name, waiting[name]) for name in names]
            if writable := [each for each in batch if _is_writable(each[0][1])]:
                await self._write(writable)
            for name, pin in batch:
                if waiting.get(name) is pin:  # else it has changed meanwhile and is written again
                    del waiting[name]

    async def _write(self, batch: list[tuple[tuple[str, Name], Pin]]) -> None:
        connection = await self._connected()
        try:
            await connection.execute(_WRITE_SQL, _columns(batch))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            # Not the database's fault, so trying again cannot help. They stay in memory.
            logger.error("%d sessions cannot be written: %s", len(batch), error.diag.message_primary)

    async def _clean(self) -> None:
        tenants = self._sessions.clean_due()
        if tenants:
            connection = await self._connected()
            await connection.execute(_CLEAN_SQL, (tenants,))

    async def _fetch(self, statement: str, params: tuple[Any, ...] = ()) -> list[TupleRow]:
        cursor = await (await self._connected()).execute(statement.encode(), params)
        return await cursor.fetchall()

    async def _connected(self) -> psycopg.AsyncConnection[TupleRow]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=5, application_name="routex sessions"
            )
            # The platform's scope: a gateway serves every tenant and keeps them apart by the key.
            await self._connection.execute("SELECT set_config('app.tenant', '*', false)")
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _columns(batch: list[tuple[tuple[str, Name], Pin]]) -> list[list[Any]]:
    rows = [
        (
            new_id("ses"), tenant_id, session, model, pin.channel_id, pin.credential,
            pin.cached_tokens, pin.used_s, pin.expires_s,
        )
        for (tenant_id, (session, model)), pin in batch
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def _is_writable(name: Name) -> bool:
    """Whether PostgreSQL can keep and index it; a channel with a glob takes any model's name from its callers."""
    return all(part.isprintable() and len(part.encode()) <= MAX_NAME_BYTES for part in name)
