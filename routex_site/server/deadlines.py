"""Limits on how long connections may wait for something, without a timer for each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter", bound=Hashable)


class Deadlines(Generic[Waiter]):
    """Those that wait for one kind of thing, the longest first.

    All wait equally long, so the order of insertion is the order of expiry: starting and stopping cost one dict
    operation, and a look at the clock costs only those that are overdue.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._due: dict[Waiter, float] = {}

    def start(self, waiter: Waiter, now_s: float) -> None:
        """Give the waiter the whole time, from now on."""
        self._due.pop(waiter, None)
        self._due[waiter] = now_s + self._wait_s

    def stop(self, waiter: Waiter) -> None:
        """Forget the waiter, if it waits."""
        self._due.pop(waiter, None)

    def take_overdue(self, now_s: float) -> list[Waiter]:
        """Return and forget those whose time is over."""
        overdue: list[Waiter] = []
        for waiter, due_s in self._due.items():
            if due_s > now_s:
                break
            overdue.append(waiter)
        for waiter in overdue:
            del self._due[waiter]
        return overdue
