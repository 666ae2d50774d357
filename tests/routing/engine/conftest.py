"""Runs every asynchronous test of the engine on the event loop that gateways run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loop: asyncio's own is more forgiving, for instance of what its handles can say."""
    return {"uvloop": uvloop.new_event_loop}
