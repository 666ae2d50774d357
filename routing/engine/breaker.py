"""closed → open → half-open: whether a channel that failed is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from routing.engine.document import PolicySpec

Standing = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. Times are seconds of one monotonic clock that the caller passes in."""

    failures: int = 0
    open_until_s: float = 0.0
    has_trial: bool = False

    def standing(self, policy: PolicySpec, now_s: float) -> Standing:
        """Return whether requests may try (`closed`), none (`open`), or one that has the right to (`half_open`)."""
        if self.failures < policy.breaker_failures:
            return "closed"
        return "open" if now_s < self.open_until_s or self.has_trial else "half_open"

    def succeeded(self, policy: PolicySpec) -> bool:
        """Close; return whether it was open or half open."""
        was_open = self.failures >= policy.breaker_failures
        self.failures = 0
        self.open_until_s = 0.0
        self.has_trial = False
        return was_open

    def failed(self, policy: PolicySpec, now_s: float) -> bool:
        """Count a failure; return whether it opened: it reached the threshold, or was the trial."""
        was_trial, self.has_trial = self.has_trial, False
        self.failures += 1
        if self.failures < policy.breaker_failures:
            return False
        self.open_until_s = now_s + policy.breaker_open_s
        return was_trial or self.failures == policy.breaker_failures

    def opened_elsewhere(self, policy: PolicySpec, until_s: float) -> None:
        """Another process has seen the failures."""
        self.failures = max(self.failures, policy.breaker_failures)
        self.open_until_s = until_s
        self.has_trial = False

    def abandoned(self) -> bool:
        """The trial ended without a verdict (the client left): the next request may try. Return whether it was one."""
        was_trial, self.has_trial = self.has_trial, False
        return was_trial
