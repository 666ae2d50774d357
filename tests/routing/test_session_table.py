"""Sessions in PostgreSQL: over restarts, between processes without Valkey, unpinned by an operator."""

from __future__ import annotations

import asyncio
import os

import psycopg
import pytest

from routing.engine import session_table
from routing.engine.session_table import SessionTable
from routing.engine.sessions import Sessions
from routing.engine.stores.memory import MemoryStore
from tenants.engine.ids import new_id

NAME = ("s", "m")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, django_db_setup):
    monkeypatch.setattr(session_table, "FLUSH_S", 0.01)
    monkeypatch.setattr(session_table, "READ_S", 0.0)


@pytest.fixture
def tenant_id():
    return new_id("ten")


class Running:
    """A process's sessions with their table."""

    def __init__(self, url: str = "") -> None:
        self.sessions = Sessions(MemoryStore())
        self.table = SessionTable(url or os.environ["DATABASE_URL"], self.sessions)

    async def __aenter__(self) -> Sessions:
        await self.table.start(10)
        return self.sessions

    async def __aexit__(self, *_: object) -> None:
        await self.table.stop()


async def until(claim, limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not claim():
            await asyncio.sleep(0.01)


def rows(tenant_id: str) -> list[tuple]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SELECT set_config('app.tenant', %s, false)", [tenant_id])
        return connection.execute(
            "SELECT session, model, channel_id, credential FROM analytics_sessionpin ORDER BY session"
        ).fetchall()


def test_a_restart_keeps_sessions_where_they_were(tenant_id):
    async def story() -> None:
        async with Running() as sessions:
            sessions.pin(tenant_id, NAME, "chn_a", "main", 600)
        async with Running() as sessions:
            found = sessions.known(tenant_id, NAME)
            assert (found.channel_id, found.credential) == ("chn_a", "main")

    asyncio.run(story())


def test_a_second_process_learns_of_pins_and_unpins(tenant_id):
    async def story() -> None:
        async with Running() as here, Running() as there:
            here.pin(tenant_id, NAME, "chn_a", "main", 600)
            await until(lambda: there.known(tenant_id, NAME))
            there.pin(tenant_id, NAME, "chn_b", "spare", 600)
            await until(lambda: here.known(tenant_id, NAME).channel_id == "chn_b")
            here.unpin(tenant_id, NAME)
            await until(lambda: there.known(tenant_id, NAME) is None)

    asyncio.run(story())


def test_what_is_over_is_deleted_at_the_interval_and_not_read_again(tenant_id):
    async def story() -> None:
        async with Running() as sessions:
            sessions.pin(tenant_id, NAME, "chn_a", "main", 0.05)
            sessions.pin(tenant_id, ("t", "m"), "chn_a", "main", 600)
            await until(lambda: len(rows(tenant_id)) == 2)
            sessions.clean_every(tenant_id, 0.1)
            await until(lambda: [row[0] for row in rows(tenant_id)] == ["t"])
        async with Running() as sessions:
            assert sessions.known(tenant_id, NAME) is None

    asyncio.run(story())


def test_names_that_cannot_be_kept_hold_no_others_up(tenant_id):
    async def story() -> None:
        async with Running() as sessions:
            for model in ("m\x00", "m\ud800", "m" * 100_000, "m"):
                sessions.pin(tenant_id, ("s", model), "chn_a", "main", 600)
            sessions.warmed(tenant_id, NAME, 10**18)
            sessions.unpin(tenant_id, ("s", "m\x00"))
            await until(lambda: not sessions.waiting)

    asyncio.run(story())
    assert [row[1] for row in rows(tenant_id)] == ["m"]


def test_many_are_written_in_batches(tenant_id):
    async def story() -> None:
        async with Running() as sessions:
            for number in range(2500):
                sessions.pin(tenant_id, (f"s{number}", "m"), "chn_a", "main", 600)
            await until(lambda: not sessions.waiting)

    asyncio.run(story())
    assert len(rows(tenant_id)) == 2500


def test_another_tenant_sees_none_of_them(tenant_id):
    async def story() -> None:
        async with Running() as sessions:
            sessions.pin(tenant_id, NAME, "chn_a", "main", 600)

    asyncio.run(story())
    assert rows(tenant_id) == [("s", "m", "chn_a", "main")]
    assert rows(new_id("ten")) == []


def test_without_a_database_requests_go_on_and_nothing_is_lost_but_the_table(tenant_id):
    async def story() -> None:
        away = Running("postgresql://nobody@127.0.0.1:1/none")
        await away.table.start(0.05)
        away.sessions.pin(tenant_id, NAME, "chn_a", "main", 600)
        assert away.sessions.known(tenant_id, NAME) and away.sessions.waiting
        await away.table.stop()

    asyncio.run(story())
