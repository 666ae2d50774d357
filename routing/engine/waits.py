"""How long the candidates of a request cannot be tried: what its last answer tells the client to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from channels_app.engine.errors import UpstreamError, UpstreamStatus
from routing.engine.snapshot import Candidate
from routing.engine.states import TenantStates


class Waits:
    """Asked at the end of a request that nobody answered; the figure is what the next request would be told."""

    __slots__ = ("_clock", "_states", "_unable", "_until_s")

    def __init__(self, states: TenantStates, clock: Callable[[], float]) -> None:
        self._states = states
        self._clock = clock
        #: Until when limits or words of the upstream keep a channel away which itself is ready.
        self._until_s: dict[str, float] = {}
        self._unable: set[int] = set()

    def limited(self, candidate: Candidate, wait_s: float) -> None:
        """A limit lets no try through to the channel for so long."""
        self._until_s[candidate.channel_id] = self._clock() + wait_s

    def failed(self, candidate: Candidate, error: UpstreamError, *, is_resting: bool) -> None:
        """A try failed; what its upstream asked to wait counts where nothing rests for it."""
        if not isinstance(error, UpstreamStatus) or error.retry_after_s is None:
            return
        if not (error.is_about_credential and is_resting):
            self.limited(candidate, error.retry_after_s)

    def unable(self, candidate: Candidate) -> None:
        """No wait makes the candidate serve this request."""
        self._unable.add(id(candidate))

    def of(self, candidate: Candidate) -> float:
        """Return after how many seconds a candidate may be tried, 0 for one that may be now."""
        channel = candidate.channel
        ready_at_s = self._states[channel.spec.id].ready_at_s(channel.credentials)
        return max(0.0, max(ready_at_s, self._until_s.get(channel.spec.id, 0.0)) - self._clock())

    def by_channel(self, groups: Iterable[Iterable[Candidate]]) -> list[float]:
        """Return the wait of each channel that may serve the request some time."""
        able = (each for group in groups for each in group if id(each) not in self._unable)
        return list({each.channel_id: self.of(each) for each in able if not each.channel.lacks_credential}.values())
