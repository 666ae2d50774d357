"""The gateway's source of configuration, on a database that drops its connections."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace

import psycopg

from routing.engine.source import SnapshotSource
from routing.snapshots import publish_stale


def test_tenant_is_loaded_although_the_idle_connection_broke(cast, django_db_blocker):
    with django_db_blocker.unblock():
        publish_stale()
    url = os.environ["DATABASE_URL"]

    async def load_break_load() -> None:
        source = SnapshotSource(url, lambda document: SimpleNamespace(document=document))
        try:
            assert await source.load(cast.acme.id) is not None
            assert _break_connections(url) >= 1
            assert await source.load(cast.rival.id) is not None
        finally:
            await source.stop()

    asyncio.run(load_break_load())


def _break_connections(url: str) -> int:
    """End every connection of a gateway to this database, and return how many there were."""
    query = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'routex gateway' AND datname = current_database()
    """
    with psycopg.connect(url) as connection:
        return sum(ended for (ended,) in connection.execute(query))
