"""Servers that may be killed, and a request log that starts and ends empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg
import pytest
import pytest_asyncio
from django.conf import settings as django_settings

from analytics import record_table
from analytics.engine.record import AttemptRecord, RequestRecord, Usage
from analytics.engine.sink import RecordSink
from tenants.engine.ids import new_id
from tests.analytics.servers import Postgres, Valkey

#: 2026-03-01 12:00:00 UTC
NOON_US = 1_772_366_400_000_000


@pytest.fixture(scope="session")
def _postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    """A running PostgreSQL with an empty request log."""
    _postgres.start()
    with _postgres.superuser() as connection:
        connection.execute("TRUNCATE analytics_requestrecord")
    return _postgres


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """A running Valkey."""
    _valkey.start()
    return _valkey


@pytest.fixture
def make_record() -> Callable[..., RequestRecord]:
    """A maker of realistic records; what is given replaces what is made."""

    def make(**given: object) -> RequestRecord:
        usual = {
            "id": new_id("req"),
            "tenant_id": "ten_01JABCDEFGHJKMNPQRSTVWXYZ0",
            "key_id": "key_01JABCDEFGHJKMNPQRSTVWXYZ0",
            "key_slug": "ci",
            "operation": "openai-chat:chat",
            "client_format": "openai-chat",
            "upstream_format": "openai-chat",
            "asked_model": "fast",
            "public_model": "gpt-5.6-mini",
            "upstream_model": "gpt-5.6-mini",
            "reported_model": "gpt-5.6-mini-2026-02-11",
            "channel_id": "chn_01JABCDEFGHJKMNPQRSTVWXYZ0",
            "channel_slug": "openai-main",
            "provider": "openai",
            "attempts": (AttemptRecord(channel="openai-main", credential="main", status=200, duration_ms=812.333),),
            "is_stream": True,
            "status": 200,
            "usage": Usage(input_tokens=1200, output_tokens=340, cache_read_tokens=1024),
            "started_us": NOON_US,
            "finished_us": NOON_US + 900_000,
            "queue_ms": 0.21,
            "connect_ms": 3.125,
            "first_token_ms": 311.25,
            "total_ms": 901.5,
            "request_bytes": 5_345,
            "response_bytes": 12_345,
            "client_address": "203.0.113.77",
            "user_agent": "OpenAI/Python 3.52.0",
        }
        return RequestRecord(**(usual | given))  # type: ignore[arg-type]

    return make


@pytest_asyncio.fixture
async def start_sink(tmp_path, postgres: Postgres) -> AsyncIterator[Callable[..., Awaitable[RecordSink]]]:
    """A starter of sinks that write to the killable PostgreSQL; they are closed at the end."""
    sinks: list[RecordSink] = []

    async def start(**options: object) -> RecordSink:
        given = {"conninfo": postgres.conninfo, "spill_folder": tmp_path / "spill"} | options
        sink = RecordSink(**given)  # type: ignore[arg-type]
        await sink.start()
        sinks.append(sink)
        return sink

    yield start
    for sink in sinks:
        await sink.close(timeout_s=5)


async def until(condition: Callable[[], object], *, limit_s: float = 30.0) -> None:
    """Wait until something that happens in the background is so."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


def conninfo() -> str:
    """Return where the tests' shared database is."""
    database = django_settings.DATABASES["default"]
    return (
        f"host={database['HOST']} port={database['PORT']} user={database['USER']} password={database['PASSWORD']} "
        f"dbname={database['NAME']}"
    )


@pytest.fixture
def request_log(django_db_setup: None) -> Iterator[str]:
    """The shared database's request log and roll-ups, empty; yields where a writer connects."""
    _empty()
    yield conninfo()
    _empty()


def _empty() -> None:
    with psycopg.connect(conninfo()) as connection:
        connection.execute("TRUNCATE analytics_usagequarter, analytics_rollupmark")
        connection.execute(f"SET ROLE {record_table.WRITER}")
        connection.execute("TRUNCATE analytics_requestrecord")
