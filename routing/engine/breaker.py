"""closed → open → half-open per channel, and the rest that a channel's credentials take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from routing.engine.snapshot import Channel, Credential, PolicySpec


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. Times are seconds of one monotonic clock that the caller passes in."""

    failures: int = 0
    open_until_s: float = 0.0
    has_trial: bool = False

    def admits(self, policy: PolicySpec, now_s: float) -> bool:
        """Whether a request may try now; an open breaker whose time is over admits one trial at a time."""
        if self.failures < policy.breaker_failures:
            return True
        if now_s < self.open_until_s or self.has_trial:
            return False
        self.has_trial = True
        return True

    def succeeded(self) -> None:
        """Close."""
        self.failures = 0
        self.has_trial = False

    def failed(self, policy: PolicySpec, now_s: float) -> None:
        """Count a failure; the one that reaches the threshold opens, and a failed trial opens again."""
        self.failures += 1
        self.has_trial = False
        if self.failures >= policy.breaker_failures:
            self.open_until_s = now_s + policy.breaker_open_s

    def abandoned(self) -> None:
        """The trial ended without a verdict (the client left): let the next request try."""
        self.has_trial = False


@dataclass(slots=True)
class ChannelState:
    """What this process remembers of one channel."""

    breaker: Breaker = field(default_factory=Breaker)
    #: Credential slug → until when it rests.
    resting_until_s: dict[str, float] = field(default_factory=dict)
    turn: int = 0

    def rested(self, credentials: Sequence[Credential], now_s: float) -> list[Credential]:
        """Return the credentials that may be used now, starting with the one whose turn it is."""
        awake = [c for c in credentials if self.resting_until_s.get(c.slug, 0.0) <= now_s]
        if len(awake) > 1:
            self.turn += 1
            start = self.turn % len(awake)
            awake = awake[start:] + awake[:start]
        return awake

    def rest(self, slug: str, until_s: float) -> None:
        """Let a credential rest."""
        self.resting_until_s[slug] = until_s

    def ready_at_s(self, credentials: Sequence[Credential]) -> float:
        """Return when the channel may be tried again: the breaker's time, or the first credential's."""
        waking = min((self.resting_until_s.get(c.slug, 0.0) for c in credentials), default=0.0)
        return max(self.breaker.open_until_s, waking)


class ChannelStates:
    """The states of all channels that this process has used, by tenant and channel."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], ChannelState] = {}

    def of(self, tenant_id: str, channel: Channel) -> ChannelState:
        """Return the state of a tenant's channel."""
        key = (tenant_id, channel.spec.id)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = ChannelState()
        return state
