"""The limit on the wait for an answer's head, which begins when the request is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from channels_app.engine.connector import Attempt
from channels_app.engine.provider import ByteSource, Timeouts


class HeadLimit:
    """Gives an attempt up when no head comes in time. An upload may take longer: until its end the total limit counts.

    A timer that aborts the connection costs a third of `asyncio.timeout`, which cancels the task.
    """

    def __init__(self, attempt: Attempt, timeouts: Timeouts, started_at: float) -> None:
        self._attempt = attempt
        self._first_byte_s = timeouts.first_byte_s
        self._total_at = started_at + timeouts.total_s
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._timer = self._timer_at(started_at + timeouts.first_byte_s)

    async def follow(self, source: ByteSource) -> AsyncIterator[bytes]:
        """Yield a source's bytes, and begin the wait when they are sent."""
        self._attempt.is_sending = True
        self._timer.cancel()
        self._timer = self._timer_at(self._total_at)
        async for chunk in source:
            yield chunk
        self._attempt.is_sending = False
        self._attempt.sent_at = self._loop.time()
        if not self._is_over:
            self._timer.cancel()
            self._timer = self._timer_at(self._attempt.sent_at + self._first_byte_s)

    def stop(self) -> None:
        """The head is here, or none will come."""
        self._is_over = True
        self._timer.cancel()

    def _timer_at(self, when: float) -> asyncio.TimerHandle:
        return self._loop.call_at(min(when, self._total_at), self._attempt.give_up)
