"""The contract of a store: small values that limits and sessions share, changed by compare-and-set."""

from __future__ import annotations

from abc import ABC, abstractmethod


class StoreAway(Exception):
    """The store did not answer in time, or is known not to answer; whoever asked goes on without it."""


class Store(ABC):
    """Keys begin with the tenant's id. Values are bytes, never empty ones."""

    #: Whether other processes see what this one writes. What is not shared need not be asked for every request.
    is_shared: bool = True

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """Return what is there; raises StoreAway."""

    @abstractmethod
    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        """Write `new` (None: delete) if `old` is what is there (None: nothing); return whether it took, and what is.

        The value is forgotten after `ttl_s` seconds.

        Raises:
            StoreAway: no answer. It may have been written all the same.
        """

    @abstractmethod
    def now_s(self) -> float:
        """Return the store's clock, the same for every process, in seconds since the epoch."""

    @property
    def is_away(self) -> bool:
        """Whether asking is useless for the moment."""
        return False

    @property
    def has_clock(self) -> bool:
        """Whether `now_s` is right already; it is after the first answer."""
        return True

    async def close(self) -> None:  # noqa: B027 most stores have nothing to close
        """Let go of what it holds."""
