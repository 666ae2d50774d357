"""The gateway's source of configuration, on a database that drops its connections."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg

from analytics.engine.price_book import Clause, DatedPrice, PricedModel, PriceList, Prices
from analytics.engine.pricing import Price
from channels_app.engine.rates import Rates
from routing.engine.source import SnapshotSource
from routing.snapshots import publish_stale
from tenants.context import tenant_scope
from tenants.engine import keys
from tenants.services import config_touch, key_issue, key_update, quota_delete, quota_set


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


def test_a_tenant_is_made_ready_beside_the_event_loop_and_the_newest_version_stays(cast, django_db_blocker):
    slow, go_on, threads = threading.Event(), threading.Event(), []

    def build(document: Any) -> Any:
        threads.append(threading.current_thread())
        if not slow.is_set():
            slow.set()
            assert go_on.wait(10)
        return SimpleNamespace(document=document)

    def change() -> None:
        with django_db_blocker.unblock():
            with tenant_scope(cast.acme.id):
                config_touch(tenant_id=cast.acme.id)
            publish_stale()

    async def load_twice() -> None:
        source = SnapshotSource(os.environ["DATABASE_URL"], build)
        try:
            first = asyncio.create_task(source.load(cast.acme.id))
            await asyncio.to_thread(slow.wait, 10)
            await asyncio.to_thread(change)
            newer = await source._load(cast.acme.id)
            go_on.set()
            assert await first is newer is source.snapshot(cast.acme.id)
        finally:
            go_on.set()
            await source.stop()

    with django_db_blocker.unblock():
        publish_stale()
    asyncio.run(load_twice())
    assert len(threads) == 2 and threading.main_thread() not in threads


def test_a_gateway_has_the_prices_before_it_knows_anybody_and_newer_ones_soon(cast, django_db_blocker):
    url = os.environ["DATABASE_URL"]
    prices = Prices()
    entry = PricedModel("m", Clause("equals", "m"), (DatedPrice(Price(Rates(7))),))

    async def follow() -> None:
        source = SnapshotSource(url, lambda document: SimpleNamespace(document=document), poll_s=0.01, prices=prices)
        source.start()
        try:
            assert await source.wait_ready(10)
            assert prices.book.version == "test-1"
            assert prices.book.price("list", "m", 0) is None
            _store(url, "test-2", msgspec.json.encode({"lists": {"list": PriceList((entry,))}}))
            while prices.book.version != "test-2":
                await asyncio.sleep(0.01)
            assert prices.book.price("list", "m", 0).rates.input == 7
            _store(url, "test-3", b"no book")
            _store(url, "test-4", b'{"lists":{}}')
            while prices.book.version != "test-4":
                await asyncio.sleep(0.01)
        finally:
            await source.stop()

    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM analytics_pricebook")
    _store(url, "test-1", b'{"lists":{}}')
    try:
        asyncio.run(follow())
    finally:
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM analytics_pricebook")


def _store(url: str, version: str, body: bytes) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO analytics_pricebook (version, source, body, in_force_since) VALUES (%s, 'test', %s, now())",
            [version, body],
        )


def _break_connections(url: str) -> int:
    """End every connection of a gateway to this database, and return how many there were."""
    query = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'routex gateway' AND datname = current_database()
    """
    with psycopg.connect(url) as connection:
        return sum(ended for (ended,) in connection.execute(query))


def test_a_keys_networks_reach_the_gateway_and_leave_it_again(cast, django_db_blocker):
    with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
        key, secret = key_issue(tenant_id=cast.acme.id, slug="at-home", allowed_ips=["10.0.0.0/8"])

    def change(texts: list[str]) -> None:
        with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
            key_update(key=key, allowed_ips=texts)

    async def follow() -> None:
        source = SnapshotSource(os.environ["DATABASE_URL"], lambda document: SimpleNamespace(document=document))
        try:
            await source._read_keys()
            assert source.principal(keys.digest(secret)).networks == (IPv4Network("10.0.0.0/8"),)
            await asyncio.to_thread(change, ["2001:db8::1"])
            await source._read_keys()
            assert source.principal(keys.digest(secret)).networks == (IPv6Network("2001:db8::1"),)
            await asyncio.to_thread(change, [])
            await source._read_keys()
            assert source.principal(keys.digest(secret)).networks is None
        finally:
            await source.stop()

    asyncio.run(follow())
    with django_db_blocker.unblock(), tenant_scope(cast.acme.id):
        key.delete()


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
