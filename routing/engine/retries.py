"""How many retries a request and a channel may have, so that an outage never becomes a retry storm."""

from __future__ import annotations

from dataclasses import dataclass, field

#: What the counts of a channel reach back.
WINDOW_S = 10
#: Retries may be this share of a troubled channel's tries, and never fewer than the floor.
RETRY_SHARE = 0.2
RETRY_FLOOR = 10


@dataclass(slots=True)
class RetryWindow:
    """Tries, retries and failures of one channel in the last ten seconds, counted by the second."""

    _tries: list[int] = field(default_factory=lambda: [0] * WINDOW_S)
    _retries: list[int] = field(default_factory=lambda: [0] * WINDOW_S)
    _failures: list[int] = field(default_factory=lambda: [0] * WINDOW_S)
    _second: int = 0

    def _at(self, now_s: float) -> int:
        """Return the place of the current second, with the seconds since the last call emptied."""
        second = int(now_s)
        gone = second - self._second
        if gone > 0:
            for back in range(min(gone, WINDOW_S)):
                place = (second - back) % WINDOW_S
                self._tries[place] = self._retries[place] = self._failures[place] = 0
            self._second = second
        return self._second % WINDOW_S

    def tried(self, now_s: float, *, is_retry: bool) -> None:
        """Count a try."""
        place = self._at(now_s)
        self._tries[place] += 1
        self._retries[place] += is_retry

    def failed(self, now_s: float) -> None:
        """Count a failure."""
        self._failures[self._at(now_s)] += 1

    def allows_retry(self, now_s: float) -> bool:
        """Whether the channel may get a try that is not its request's first.

        A channel without a failure takes whatever another one failed to answer. One that fails itself gets at most a
        fifth of its tries as retries: asking it again and again is what keeps it down.
        """
        self._at(now_s)
        if not any(self._failures):
            return True
        return sum(self._retries) < max(RETRY_FLOOR, RETRY_SHARE * sum(self._tries))


#: All tries of a request together may cost this many times what one may.
MONEY_FACTOR = 3


@dataclass(slots=True)
class RetryBudget:
    """What one request may spend on tries, over all credentials, channels and fallback models: count, time, money.

    The money: what failed tries may be charged for, at their worst cost, and the next one together stay within three
    times that of the dearest failed one. A try that failed before any output cost nothing.
    """

    attempts: int
    #: No try begins after it but the first, on the monotonic clock.
    until_s: float
    tries: int = 0
    charged_nano_usd: int = 0
    _one_nano_usd: int = 0

    def allows(self, now_s: float) -> bool:
        """Whether another try may begin."""
        return self.tries < self.attempts and (self.tries == 0 or now_s < self.until_s)

    def affords(self, worst_nano_usd: int | None) -> bool:
        """Whether a try of that worst cost may begin; one without a price is free of this bound."""
        if worst_nano_usd is None or not self.charged_nano_usd:
            return True
        return self.charged_nano_usd + worst_nano_usd <= MONEY_FACTOR * self._one_nano_usd

    def charge(self, worst_nano_usd: int | None) -> None:
        """A try failed after output may have begun."""
        self.charged_nano_usd += worst_nano_usd or 0
        self._one_nano_usd = max(self._one_nano_usd, worst_nano_usd or 0)
