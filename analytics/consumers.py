"""Websocket: a tenant's requests as they finish, without gap and, by their ids, without double."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error as DatabaseError

from analytics.live import LiveSocket, TooSlow, live_hub, replay
from tenants.context import in_platform, in_tenant
from tenants.selectors import membership_get

log = logging.getLogger("routex.live")

#: No such tenant, or nobody who may look at it: one answer for both.
NOT_FOUND: Final = 4404
#: Connect again and say what you have: the page was too slow, or it is time to look at the membership again.
COME_BACK: Final = 4408
INTERNAL_ERROR: Final = 1011
#: How long a connection lasts: for so long at most a person who lost the membership still sees requests finish.
CONNECTION_S: Final = 600.0
#: How long one message may take, on a server that waits for the page to read (uvicorn does, Daphne does not).
SEND_LIMIT_S: Final = 10.0


class RequestsConsumer(AsyncWebsocketConsumer):
    """`/ws/t/<slug>/requests/?since=<recorded_us>`: `rows` messages as `analytics.engine.live_feed.LiveRows`.

    The page keeps the highest `recorded_us` it got, gives it as `since` when it connects again, and leaves out rows
    whose id it has: the overlap that closes every gap sends some twice. `{"type": "reload"}` tells it to load anew.
    Nothing is expected from the page.
    """

    _socket: LiveSocket | None = None
    _pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept members of the tenant, and let nobody else learn whether there is such a tenant."""
        slug = self.scope["url_route"]["kwargs"]["slug"]
        membership = await in_platform(membership_get, user=self.scope["user"], slug=slug)
        if membership is None:
            await self.close(NOT_FOUND)
            return
        await self.accept()
        self._socket = live_hub().join(membership.tenant_id, recorded_us=_since_us(self.scope["query_string"]))
        # First among those who hear, then reading what was before: what is heard meanwhile waits in the socket.
        self._socket.ask_replay()
        self._pump = asyncio.create_task(self._send_all(self._socket), name="live page")

    async def disconnect(self, code: int) -> None:
        """Leave the hub."""
        if self._socket is not None:
            live_hub().leave(self._socket)
        if self._pump is not None:
            self._pump.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what the page says."""

    async def _send_all(self, socket: LiveSocket) -> None:
        try:
            async with asyncio.timeout(CONNECTION_S):
                while True:
                    text = await socket.get()
                    if text is None:
                        socket.recorded_us, text = await in_tenant(
                            socket.tenant_id, replay, socket.tenant_id, socket.recorded_us
                        )
                    if text:
                        async with asyncio.timeout(SEND_LIMIT_S):
                            await self.send(text_data=text)
        except (TimeoutError, TooSlow):
            await self._end(COME_BACK)
        except DatabaseError as error:
            log.warning("A live page could not read what it missed and is told to come back: %s", error)
            await self._end(INTERNAL_ERROR)
        except OSError:
            # The page is gone and the server says so when sending; it calls `disconnect` too.
            return

    async def _end(self, code: int) -> None:
        if self._socket is not None:
            live_hub().leave(self._socket)
        await self.close(code)


def _since_us(query_string: bytes) -> int:
    """Return the `since` of the page; without a usable one, now: nothing before is asked for."""
    values: dict[str, Any] = parse_qs(query_string.decode("latin-1"))
    since = values.get("since", [""])[0]
    # More digits than this are no time in microseconds.
    return int(since) if since.isascii() and since.isdigit() and len(since) <= 18 else time.time_ns() // 1000
