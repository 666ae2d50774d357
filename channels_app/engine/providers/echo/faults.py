"""The faults that a model name asks echo for, and the waits that come with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from channels_app.engine.errors import UpstreamTimeout
from channels_app.engine.provider import Timeouts

Sleep = Callable[[float], Awaitable[object]]

#: What `echo-429` asks its caller to wait.
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer differs from a good one; `gap_s` is the pause between words, None for the usual one."""

    status: int = 200
    message: str = ""
    first_byte_s: float = 0.0
    gap_s: float | None = None
    is_cut: bool = False
    is_stalled: bool = False


NO_FAULT = Fault()
FAULTS = {
    "echo-slow": Fault(first_byte_s=2.0, gap_s=0.2),
    "echo-400": Fault(400, "The model echo-400 refuses every request."),
    "echo-429": Fault(429, f"The model echo-429 is always over its rate limit. Please try again in {RETRY_AFTER_S}s."),
    "echo-500": Fault(500, "The model echo-500 always fails."),
    "echo-529": Fault(529, "The model echo-529 is always overloaded."),
    "echo-cut": Fault(is_cut=True),
    "echo-stall": Fault(is_stalled=True),
}


class Waits:
    """The waits of one answer, each within the request's limits; time spent elsewhere does not count."""

    def __init__(self, timeouts: Timeouts, sleep: Sleep) -> None:
        self._timeouts = timeouts
        self._sleep = sleep
        self._left_s = timeouts.total_s

    async def first_byte(self, seconds: float) -> None:
        """Wait before the head; raises UpstreamTimeout."""
        if seconds:
            await self._wait("first_byte", seconds, self._timeouts.first_byte_s)

    async def idle(self, seconds: float) -> None:
        """Wait between pieces of the body; raises UpstreamTimeout."""
        await self._wait("idle", seconds, self._timeouts.idle_s)

    async def _wait(self, name: str, seconds: float, limit_s: float) -> None:
        allowed_s = min(limit_s, self._left_s)
        if seconds <= allowed_s:
            self._left_s -= seconds
            await self._sleep(seconds)
            return
        await self._sleep(allowed_s)
        if limit_s <= self._left_s:
            raise UpstreamTimeout(name, limit_s)
        raise UpstreamTimeout("total", self._timeouts.total_s)
