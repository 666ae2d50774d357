"""Memory: the store of an install with one gateway process."""

from __future__ import annotations

import time
from collections.abc import Callable

from routing.engine.store import Store

#: What has run out is looked for after so many writes.
SWEEP_AFTER = 1000


class MemoryStore(Store):
    """Keeps values until they run out. `is_shared` is for tests, in which several gateways share one object."""

    def __init__(self, clock: Callable[[], float] | None = None, *, is_shared: bool = False) -> None:
        # Monotonic since the start: a wall clock that is set back would open or close every window.
        start_s = time.time() - time.monotonic()
        self.now_s = clock or (lambda: start_s + time.monotonic())  # type: ignore[method-assign]
        self.is_shared = is_shared
        self._values: dict[str, tuple[bytes, float]] = {}
        self._writes = 0

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        raise NotImplementedError  # replaced by the clock

    async def get(self, key: str) -> bytes | None:
        """Return what is there."""
        return self._get(key)

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        """Write if `old` is what is there."""
        current = self._get(key)
        if current != old:
            return False, current
        if new is None:
            self._values.pop(key, None)
        else:
            self._values[key] = (new, self.now_s() + ttl_s)
            self._sweep()
        return True, new

    def _get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        return found[0] if found is not None and found[1] > self.now_s() else None

    def _sweep(self) -> None:
        self._writes += 1
        if self._writes >= SWEEP_AFTER:
            self._writes = 0
            now_s = self.now_s()
            self._values = {key: value for key, value in self._values.items() if value[1] > now_s}
