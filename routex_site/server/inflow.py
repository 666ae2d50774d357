"""A form's body on its way to the application under Daphne: piece by piece, at the application's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: How much waits for the application before the socket is no longer read.
BOUND_BYTES = 128 * 1024


class Inflow:
    """Holds what has arrived and was not taken. `pause` and `resume` stop and go on with reading the socket."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.is_whole = False
        self._pause = pause
        self._resume = resume
        self._held: list[bytes] = []
        self._size = 0
        self._is_closed = False
        self._is_paused = False
        self._news = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Hold the next piece, unless nobody wants it any more."""
        if self._is_closed or not data:
            return
        self._held.append(data)
        self._size += len(data)
        if self._size >= BOUND_BYTES and not self._is_paused:
            self._is_paused = True
            self._pause()
        self._news.set()

    @property
    def is_empty(self) -> bool:
        """Whether all that has come is taken."""
        return not self._held

    def end(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._news.set()

    def close(self) -> None:
        """Nobody takes the rest: the answer is given, or the client left."""
        self._is_closed = True
        self._held.clear()
        self._go_on()
        self._news.set()

    async def take(self) -> bytes | None:
        """Return what has come, after waiting for something; None when nothing more will."""
        while not self._held and not self.is_whole and not self._is_closed:
            self._news.clear()
            await self._news.wait()
        if self._is_closed:
            return None
        taken = b"".join(self._held)
        self._held.clear()
        self._go_on()
        return taken

    def _go_on(self) -> None:
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self._resume()
