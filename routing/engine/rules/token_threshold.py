"""The messages have at least so many tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from reprlib import repr as shortened
from typing import Any

from routing.engine.counters import COUNTERS, EXACT, most_tokens
from routing.engine.rule import Condition, Errand, Finding, Screen, Setting, Test, number
from routing.engine.traits import Traits

_COUNTERS = (*COUNTERS, "estimate")


class TokenThreshold(Condition):
    """A number of tokens, by the rule of thumb for the asked model unless another counter is named."""

    name = "tokenThreshold"
    summary = "The messages have at least this many tokens, by a rule of thumb or the counter that is named."
    example = 60_000
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a number, or {"tokens": number, "counter": name}."""
        value, counter = _read(value)
        if counter not in _COUNTERS:
            known = ", ".join(_COUNTERS)
            raise ValueError(f"{self.name}: there is no counter {shortened(counter)}; there are: {known}")
        least = number(value, self.name)

        def test(traits: Traits) -> Finding:
            tokens = traits.tokens(counter)
            return Finding(tokens >= least, f"{tokens} of {least} tokens")

        return test

    def errand(self, values: Sequence[Any]) -> Errand | None:
        """Return how to count exactly, where a rule asks for that and the body is long enough for it to matter."""
        asked = [least for least, counter in map(_read, values) if counter == EXACT]
        if not asked:
            return None

        def errand(traits: Traits) -> Callable[[], int] | None:
            most = most_tokens(traits.call.body)
            return partial(traits.tokens, EXACT) if most is None or most >= min(asked) else None

        return errand

    def screen(self, values: Sequence[Any]) -> Screen:
        """Return a look at how long the body is."""
        return _Most(max(least for least, _ in map(_read, values)))


class _Most(Screen):
    """How many tokens the messages can have at most, as their body is no longer."""

    def __init__(self, beyond: int) -> None:
        self._beyond = beyond

    def look(self, traits: Traits) -> Hashable:
        """Return it, rounded up to a power of two; 0 where it settles nothing."""
        most = most_tokens(traits.call.body)
        return 1 << most.bit_length() if most is not None and most < self._beyond else 0

    def missed(self, value: Any, seen: Hashable) -> str:
        """Say so where the counters of messages cannot reach the value."""
        least, counter = _read(value)
        assert isinstance(seen, int)
        return f"at most {seen} of {least} tokens" if seen and seen < least and counter in COUNTERS else ""


def _read(value: Any) -> tuple[Any, Any]:
    """Return the number and the counter, as they stand in the rule."""
    if isinstance(value, dict) and value.keys() <= {"tokens", "counter"} and "tokens" in value:
        return value["tokens"], value.get("counter", "heuristic")
    return value, "heuristic"
