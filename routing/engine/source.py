"""Snapshots and keys from PostgreSQL: loaded on first use, woken by NOTIFY, reconciled by a poll (ADR 6)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from psycopg.rows import TupleRow

from analytics.engine.price_book import PriceBook, Prices
from routing.engine.document import TenantDocument, decode_document
from routing.engine.limiters import terms_of
from routing.engine.snapshot import Snapshot, in_order
from tenants.engine.limits import LimitSpec, QuotaSpec
from tenants.engine.networks import read_networks
from tenants.engine.principal import Principal

logger = logging.getLogger("routex.source")

#: Channels of NOTIFY. The payload is a tenant's id.
SNAPSHOT_NOTICE = "routex_snapshot"
KEYS_NOTICE = "routex_keys"
#: How often everything loaded is compared with the database, whatever notices came.
POLL_S = 3.0
#: Pauses between attempts to reach a database that went away.
RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)

Row = TupleRow
Build = Callable[[TenantDocument], Snapshot]

_KEYS_SQL = """
SELECT digest, tenant_id, id, slug, state, extract(epoch FROM expires_at)::float8,
       allowed_models, allowed_channels, allowed_ips, tags,
       (SELECT jsonb_agg(jsonb_build_object(
            'id', id, 'scope', scope, 'scope_id', scope_id, 'kind', kind, 'algorithm', algorithm,
            'limit', "limit", 'window_s', window_s, 'options', options) ORDER BY kind, window_s)
        FROM tenants_limit
        WHERE tenant_id = key.tenant_id AND scope = 'key' AND scope_id = key.id),
       (SELECT coalesce(json_agg(json_build_object('id', id, 'scope', scope, 'scope_id', scope_id, 'kind', kind,
                                                   'amount', amount, 'window', "window")), '[]')
        FROM tenants_quota WHERE scope = 'key' AND scope_id = key.id AND tenant_id = key.tenant_id)
FROM tenants_gatewaykey AS key WHERE written_by >= %s
"""
# Every key written by a transaction at or after this number is read again next time: a transaction that was still
# running now cannot be missed, whenever it commits.
_HORIZON_SQL = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_VERSIONS_SQL = "SELECT tenant_id, snapshot_version FROM tenants_configstate WHERE tenant_id = ANY(%s)"
_SNAPSHOT_SQL = "SELECT snapshot FROM tenants_configstate WHERE tenant_id = %s AND snapshot_version > 0"
# The body, half a megabyte, only when it is another one.
_PRICES_SQL = """
SELECT version, CASE WHEN version <> %s THEN body END
FROM analytics_pricebook ORDER BY in_force_since DESC LIMIT 1
"""


class SnapshotSource:
    """The gateway's configuration. `principal` and `snapshot` are dictionary look-ups; the rest happens beside them."""

    def __init__(
        self, database_url: str, build: Build, *, poll_s: float = POLL_S, prices: Prices | None = None
    ) -> None:
        self._url = database_url
        self._build = build
        self._prices = prices or Prices()
        self._poll_s = poll_s
        self._keys: dict[bytes, Principal] = {}
        self._key_horizon = 0
        self._snapshots: dict[str, Snapshot] = {}
        self._loading: dict[str, asyncio.Task[Snapshot | None]] = {}
        self._query: psycopg.AsyncConnection[Row] | None = None
        self._query_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.is_connected = False
        self.reconciled_at_s = 0.0

    # --- what requests ask -------------------------------------------------------------------------------------

    def principal(self, digest: bytes) -> Principal | None:
        """Return the principal of a key's digest."""
        return self._keys.get(digest)

    def snapshot(self, tenant_id: str) -> Snapshot | None:
        """Return the newest snapshot of a loaded tenant."""
        return self._snapshots.get(tenant_id)

    async def load(self, tenant_id: str) -> Snapshot | None:
        """Load a tenant, once for all who ask at the same time."""
        task = self._loading.get(tenant_id)
        if task is None:
            task = self._loading[tenant_id] = asyncio.create_task(self._load(tenant_id))
            task.add_done_callback(lambda _: self._loading.pop(tenant_id, None))
        try:
            return await asyncio.shield(task)
        except (psycopg.Error, OSError) as error:
            logger.warning("tenant %s cannot be loaded: %s", tenant_id, type(error).__name__)
            return None

    # --- what happens beside them ------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the key directory has been read; before that nobody can be known."""
        return self._ready.is_set()

    async def wait_ready(self, limit_s: float) -> bool:
        """Wait until the key directory has been read, and return whether it was within the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._ready.wait()
        return self.is_ready

    @property
    def key_count(self) -> int:
        """How many keys are known."""
        return len(self._keys)

    @property
    def channel_counts(self) -> tuple[int, int]:
        """How many channels the loaded tenants have, and how many of those are enabled."""
        channels = [channel for snapshot in self._snapshots.values() for channel in snapshot.channels.values()]
        return len(channels), sum(channel.spec.is_enabled for channel in channels)

    def start(self) -> None:
        """Begin to follow the database."""
        self._task = asyncio.create_task(self._follow(), name="snapshot source")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._query is not None:
            await self._query.close()

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                async with await self._connect() as listening:
                    await listening.execute(f"LISTEN {SNAPSHOT_NOTICE}")
                    await listening.execute(f"LISTEN {KEYS_NOTICE}")
                    # Listening before reading: what changes in between is told, not missed.
                    await self._reconcile()
                    failures = 0
                    await self._listen(listening)
            except (psycopg.Error, OSError) as error:
                self.is_connected = False
                pause_s = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                logger.warning("the database is away (%s); next try in %.1f s", type(error).__name__, pause_s)
                await asyncio.sleep(pause_s)

    async def _listen(self, listening: psycopg.AsyncConnection[Row]) -> None:
        while True:
            tenants: set[str] = set()
            keys_changed = False
            async for notice in listening.notifies(timeout=self._poll_s, stop_after=1):
                keys_changed = keys_changed or notice.channel == KEYS_NOTICE
                if notice.channel == SNAPSHOT_NOTICE:
                    tenants.add(notice.payload)
            if keys_changed:
                await self._read_keys()
            for tenant_id in tenants & self._snapshots.keys():
                await self._load(tenant_id)
            if time.monotonic() - self.reconciled_at_s > self._poll_s:
                await self._reconcile()

    async def _reconcile(self) -> None:
        """Compare everything loaded with the database."""
        # Before the keys: who is known can be charged.
        await self._read_prices()
        await self._read_keys()
        loaded = list(self._snapshots)
        if loaded:
            for tenant_id, version in await self._fetch(_VERSIONS_SQL, (loaded,)):
                if version > self._snapshots[tenant_id].document.version:
                    await self._load(tenant_id)
        self.is_connected = True
        self._ready.set()
        self.reconciled_at_s = time.monotonic()

    async def _read_keys(self) -> None:
        ((horizon,),) = await self._fetch(_HORIZON_SQL)
        for row in await self._fetch(_KEYS_SQL, (self._key_horizon,)):
            self._keys[bytes(row[0])] = Principal(
                tenant_id=row[1],
                key_id=row[2],
                key_slug=row[3],
                state=row[4],
                expires_at_s=row[5],
                models=tuple(row[6]),
                channels=tuple(row[7]),
                networks=read_networks(row[8]),
                tags=row[9],
                limits=_limits(row[10]),
                quotas=tuple(msgspec.convert(quota, QuotaSpec) for quota in row[11]),
            )
        self._key_horizon = horizon

    async def _read_prices(self) -> None:
        for version, body in await self._fetch(_PRICES_SQL, (self._prices.book.version,)):
            if body is None:
                continue
            try:
                self._prices.book = PriceBook(version, bytes(body))
            except msgspec.MsgspecError as error:
                logger.error("price book %s cannot be used here: %s", version, error)

    async def _load(self, tenant_id: str) -> Snapshot | None:
        rows = await self._fetch(_SNAPSHOT_SQL, (tenant_id,))
        if not rows:
            return None
        try:
            # Unsealing credentials and compiling rules takes many milliseconds, in which requests go on.
            snapshot = await asyncio.to_thread(self._newer, tenant_id, bytes(rows[0][0]))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            # A gateway older than the console, or one without the newest encryption key: the last good one serves on.
            logger.error("snapshot of tenant %s cannot be used here: %s", tenant_id, error)
            return self._snapshots.get(tenant_id)
        current = self._snapshots.get(tenant_id)
        # While this one was built, another load may have come to a newer one.
        if snapshot is None or (current is not None and current.document.version >= snapshot.document.version):
            return current
        self._snapshots[tenant_id] = snapshot
        return snapshot

    def _newer(self, tenant_id: str, stored: bytes) -> Snapshot | None:
        """Return what is stored, made ready; None where it is no newer than what is loaded."""
        document, current = decode_document(stored), self._snapshots.get(tenant_id)
        is_newer = current is None or document.version > current.document.version
        return self._build(document) if is_newer else None

    async def _fetch(self, statement: str, params: tuple[Any, ...] = ()) -> list[Row]:
        """Run one statement on the query connection; one that broke while it lay idle is replaced at once."""
        async with self._query_lock:
            if self._query is not None and not self._query.closed:
                with contextlib.suppress(psycopg.OperationalError, OSError):
                    return await self._fetch_on(self._query, statement, params)
            self._query = await self._connect()
            return await self._fetch_on(self._query, statement, params)

    async def _fetch_on(
        self, connection: psycopg.AsyncConnection[Row], statement: str, params: tuple[Any, ...]
    ) -> list[Row]:
        try:
            cursor = await connection.execute(statement.encode(), params)
            return await cursor.fetchall()
        except (psycopg.OperationalError, OSError, asyncio.CancelledError):
            await connection.close()
            raise

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="routex gateway"
        )
        # The platform's scope: a gateway serves every tenant and keeps them apart by the key.
        await connection.execute("SELECT set_config('app.tenant', '*', false)")
        return connection


def _limits(rows: list[dict[str, Any]] | None) -> tuple[LimitSpec, ...]:
    """Return a key's limits; one that this process has no limiter for is left out, and told."""
    found = []
    for row in rows or ():
        try:
            spec = msgspec.convert(row, LimitSpec)
            terms_of(spec)
        except ValueError as error:
            logger.error("limit %s cannot be counted here: %s", row.get("id"), error)
        else:
            found.append(spec)
    return in_order(found)
