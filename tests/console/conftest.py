"""People at the console, and finished requests to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings
from django.test import Client

from analytics.engine.record import RequestRecord
from analytics.engine.writer import RecordWriter
from tenants.engine.ids import new_id
from tenants.models import User

#: 2026-03-01 12:00:00 UTC
NOON_US = 1_772_366_400_000_000


def database_url() -> str:
    """Return the URL of the database that the tests use."""
    database = settings.DATABASES["default"]
    return psycopg.conninfo.make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
        dbname=database["NAME"],
    )


@pytest.fixture
def at_console() -> Callable[[User], Client]:
    """A browser of somebody who is signed in."""

    def client_of(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return client_of


def make_record(tenant_id: str, number: int = 0, **given: object) -> RequestRecord:
    """Return a record; a higher number is a later request."""
    started_us = NOON_US + number * 1_000_000
    usual: dict[str, object] = {
        "id": new_id("req"),
        "tenant_id": tenant_id,
        "key_id": new_id("key"),
        "key_slug": "ci",
        "operation": "openai-chat",
        "asked_model": "fast",
        "public_model": "fast",
        "upstream_model": "gpt-5.6-mini",
        "channel_slug": "openai-main",
        "status": 200,
        "outcome": "answered",
        "started_us": started_us,
        "finished_us": started_us + 900_000,
        "total_ms": 900.0,
    }
    return RequestRecord(**(usual | given))  # type: ignore[arg-type]


class Stored:
    """Writes records as a gateway does, and takes them away again."""

    def __init__(self) -> None:
        self.tenants: set[str] = set()

    def __call__(self, *records: RequestRecord) -> None:
        """Write records."""

        async def run() -> None:
            writer = RecordWriter(database_url())
            await writer.write(records)
            await writer.disconnect()

        asyncio.run(run())
        self.remember(*records)

    def remember(self, *records: RequestRecord) -> None:
        """Have the records of these tenants removed at the end."""
        self.tenants.update(record.tenant_id for record in records)

    def remove(self) -> None:
        """Remove every record of the tenants that got some."""
        with psycopg.connect(database_url(), autocommit=True) as connection:
            connection.execute("SET ROLE routex_writer")
            connection.execute("DELETE FROM analytics_requestrecord WHERE tenant_id = ANY(%s)", [list(self.tenants)])


@pytest.fixture
def stored(django_db_setup: None) -> Iterator[Stored]:
    """Write records as a gateway does; they are gone after the test."""
    records = Stored()
    yield records
    records.remove()
