"""Starts scripted upstreams, and runs every test here on both event loops that Routex runs on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Answer, Serve, Upstream


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loops; pytest-asyncio repeats each asynchronous test for each."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start upstreams; they stop with the test."""
    servers: list[tuple[asyncio.Server, Upstream]] = []

    async def start(answer: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Upstream:
        upstream = Upstream(answer)
        server = await asyncio.start_server(upstream.serve, host, 0, ssl=tls)
        upstream.port = server.sockets[0].getsockname()[1]
        servers.append((server, upstream))
        return upstream

    yield start
    for server, upstream in servers:
        server.close()
        await upstream.stop()
    assert not [error for _, upstream in servers for error in upstream.errors]


@pytest_asyncio.fixture
async def upstreams() -> AsyncIterator[HttpUpstreams]:
    """Return the client under test, closed with the test."""
    client = HttpUpstreams()
    yield client
    await client.aclose()
