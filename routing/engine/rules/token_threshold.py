"""The messages have at least so many tokens."""

from __future__ import annotations

from reprlib import repr as shortened
from typing import Any

from routing.engine.counters import COUNTERS
from routing.engine.rule import Condition, Finding, Setting, Test, number
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
        counter = "heuristic"
        if isinstance(value, dict) and value.keys() <= {"tokens", "counter"} and "tokens" in value:
            value, counter = value["tokens"], value.get("counter", counter)
        if counter not in _COUNTERS:
            known = ", ".join(_COUNTERS)
            raise ValueError(f"{self.name}: there is no counter {shortened(counter)}; there are: {known}")
        least = number(value, self.name)

        def test(traits: Traits) -> Finding:
            tokens = traits.tokens(counter)
            return Finding(tokens >= least, f"{tokens} of {least} tokens")

        return test
