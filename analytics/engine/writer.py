"""RecordWriter: one connection as the writer role, through which records go into the request log by COPY."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import psycopg

from analytics.engine.connection import connected
from analytics.engine.copy_text import COLUMNS, UNWRITABLE, cleaned, copy_line
from analytics.engine.ledger import settle
from analytics.engine.record import RequestRecord

log = logging.getLogger("routex.records")

TABLE: Final = "public.analytics_requestrecord"
CONNECT_TIMEOUT_S: Final = 5
#: A write never takes longer than this, on the server's word; live pages read again from further back than that.
TRANSACTION_LIMIT_S: Final = 5
#: Lines made before other work of the event loop gets its turn, about 0.3 ms.
CHUNK_ROWS: Final = 50

_NOW_US = "SELECT (extract(epoch FROM now()) * 1000000)::bigint"
_COLUMNS = ", ".join(COLUMNS)
_COPY = f"COPY {TABLE} ({_COLUMNS}) FROM STDIN"
_STAGE = f"CREATE TEMPORARY TABLE record_staging (LIKE {TABLE} INCLUDING DEFAULTS) ON COMMIT DROP"
_COPY_STAGED = f"COPY record_staging ({_COLUMNS}) FROM STDIN"
_INSERT_STAGED = f"INSERT INTO {TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM record_staging ON CONFLICT DO NOTHING"  # noqa: S608 no input


class RecordWriter:
    """Writes batches of records. Connects when it first writes, and again after an error or `disconnect`.

    `written` and `rejected` count rows; a rejected row is one that PostgreSQL refuses even after cleaning.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection | None = None
        self.written = 0
        self.rejected = 0

    async def write(self, records: Sequence[RequestRecord]) -> int:
        """Write records that were never written before; return their `recorded_at` in microseconds.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away or refuses; whether the records are stored is unknown.
        """
        try:
            return await self._write(records)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            log.warning(
                "Of %d request records one was refused; they are written in parts: %s", len(records), why(error)
            )
            return await self.write_once(records)

    async def write_once(self, records: Sequence[RequestRecord]) -> int:
        """Write those of the records that are not stored yet, around those that cannot be stored.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away or refuses; whether the records are stored is unknown.
        """
        try:
            return await self._write_once(records)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(records) == 1:
                return await self._write_cleaned(records[0], error)
        middle = len(records) // 2
        first = await self.write_once(records[:middle])
        return max(first, await self.write_once(records[middle:]))

    async def _write_cleaned(self, record: RequestRecord, refusal: psycopg.Error) -> int:
        """Write a refused record with its odd values replaced; give it up when that is refused too."""
        try:
            return await self._write_once([cleaned(record)])
        except (psycopg.DataError, psycopg.IntegrityError, *UNWRITABLE):
            self.rejected += 1
            log.error("Request record %s cannot be stored: %s", record.id, why(refusal))
        if record.charges:
            await self.charge([record])
        return 0

    async def charge(self, records: Sequence[RequestRecord]) -> None:
        """Write nothing of the records but what they took from quotas.

        Raises:
            psycopg.Error, OSError: PostgreSQL is away or refuses; whether it is charged is unknown.
        """
        connection = await self._connected()
        async with connection.transaction(), connection.cursor() as cursor:
            await settle(cursor, records)

    async def disconnect(self) -> None:
        """Close the connection; the next write opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _write(self, records: Sequence[RequestRecord]) -> int:
        connection = await self._connected()
        async with connection.transaction(), connection.cursor() as cursor:
            recorded_us = await _now_us(cursor)
            rows = await _copy(cursor, _COPY, records)
            await settle(cursor, records)
        self._count(records, rows)
        return recorded_us

    async def _write_once(self, records: Sequence[RequestRecord]) -> int:
        connection = await self._connected()
        async with connection.transaction(), connection.cursor() as cursor:
            recorded_us = await _now_us(cursor)
            await cursor.execute(_STAGE)
            rows = await _copy(cursor, _COPY_STAGED, records)
            await cursor.execute(_INSERT_STAGED)
            stored = cursor.rowcount
            await settle(cursor, records)
        self._count(records, rows)
        self.written += stored - rows
        return recorded_us

    def _count(self, records: Sequence[RequestRecord], rows: int) -> None:
        self.written += rows
        self.rejected += len(records) - rows

    async def _connected(self) -> psycopg.AsyncConnection:
        connection = self._connection
        if connection is None or connection.broken or connection.closed:
            await self.disconnect()
            connection = self._connection = await connected(
                self._conninfo, name="routex records", connect_timeout_s=CONNECT_TIMEOUT_S, limit_s=TRANSACTION_LIMIT_S
            )
        return connection


def why(error: BaseException) -> str:
    """Return the reason as one line, without the row that PostgreSQL quotes in its details."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or " ".join(str(error).split()) or type(error).__name__


async def _now_us(cursor: psycopg.AsyncCursor) -> int:
    await cursor.execute(_NOW_US)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _copy(cursor: psycopg.AsyncCursor, statement: str, records: Sequence[RequestRecord]) -> int:
    """Copy what makes a line and return how many did."""
    rows = 0
    async with cursor.copy(statement) as copy:
        for start in range(0, len(records), CHUNK_ROWS):
            lines = _lines(records[start : start + CHUNK_ROWS])
            rows += len(lines)
            await copy.write(b"".join(lines))
            await asyncio.sleep(0)
    return rows


def _lines(records: Iterable[RequestRecord]) -> list[bytes]:
    lines = []
    for record in records:
        try:
            lines.append(copy_line(record))
        except UNWRITABLE as error:
            log.error("Request record %s cannot be written: %r", record.id, error)
    return lines
