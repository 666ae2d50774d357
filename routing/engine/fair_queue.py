"""FairQueue: those who wait for one limit, served in turn by flow, so that no key waits behind another's backlog."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

#: Whose requests wait in one line: a tenant and its key.
Flow = tuple[str, str]
#: What a waiter is told: when to ask again after it lost its place, or 0.0: it is its turn.
Turn = asyncio.Future[float]


class FairQueue:
    """One line per flow; the lines are served one after another. How long it may get is the caller's to say."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Flow, deque[Turn]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def join(self, flow: Flow) -> Turn:
        """Stand at the end of a flow's line."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(flow, deque()).append(turn)
        return turn

    def displace(self, flow: Flow, wait_s: float) -> Turn | None:
        """Take the place of the last in the longest line, if that line is longer even without it; None otherwise."""
        if not self.would_make_room(flow):
            return None
        loser = self._longest().pop()
        if not loser.done():
            loser.set_result(wait_s)
        return self.join(flow)

    def would_make_room(self, flow: Flow) -> bool:
        """Whether the last in the longest line would lose its place to that flow."""
        return bool(self._lines) and len(self._longest()) >= len(self._lines.get(flow, ())) + 2

    def _longest(self) -> deque[Turn]:
        return max(self._lines.values(), key=len)

    def call_next(self) -> None:
        """Tell the first of the next line that it is its turn; nobody, when nobody waits."""
        while self._lines:
            flow, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[flow] = line
            if not turn.done():  # its request may have been cancelled a moment ago
                turn.set_result(0.0)
                return

    def leave(self, flow: Flow, turn: Turn) -> None:
        """Step out of the line, wherever one stands in it."""
        line = self._lines.get(flow)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[flow]
