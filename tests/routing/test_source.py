"""The gateway's source of configuration, on a database that drops its connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg

from routing.engine.source import SnapshotSource
from routing.snapshots import publish_stale
from tenants.context import tenant_scope
from tenants.engine import keys
from tenants.services import key_issue, quota_delete, quota_set


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


def test_a_keys_own_quota_reaches_the_gateway_and_leaves_it_again(cast, django_db_blocker):
    with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
        key, secret = key_issue(tenant_id=cast.acme.id, slug="thrifty")

    def write(change: Callable[[], Any]) -> Any:
        with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
            return change()

    async def follow() -> None:
        source = SnapshotSource(os.environ["DATABASE_URL"], lambda document: SimpleNamespace(document=document))
        try:
            await source._read_keys()
            principal = source.principal(keys.digest(secret))
            assert principal is not None and principal.quotas == ()
            wanted = {"tenant_id": cast.acme.id, "kind": "requests", "scope": "key", "scope_id": key.pk}
            for amount in (5, 6):
                quota = await asyncio.to_thread(write, lambda amount=amount: quota_set(amount=amount, **wanted))
                await source._read_keys()
                [spec] = source.principal(keys.digest(secret)).quotas
                assert (spec.id, spec.kind, spec.amount) == (quota.pk, "requests", amount)
            await asyncio.to_thread(write, lambda: quota_delete(quota=quota))
            await source._read_keys()
            assert source.principal(keys.digest(secret)).quotas == ()
        finally:
            await source.stop()

    asyncio.run(follow())
    with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
        key.delete()
