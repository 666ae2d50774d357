"""closed → open → half-open: whether a channel that failed is asked again."""

from __future__ import annotations

from dataclasses import dataclass

from routing.engine.snapshot import PolicySpec


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
