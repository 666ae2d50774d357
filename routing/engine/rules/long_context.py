"""A long conversation: more tokens than a threshold, now or in the last turn."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, number
from routing.engine.traits import Traits

THRESHOLD = 60_000
#: After a long turn the next one counts as long too, unless it has shrunk to less than this.
STILL_LONG = 20_000


class LongContext(Condition):
    """The whole request is estimated, system prompt and tools included; the last turn is as its upstream counted it."""

    name = "longContext"
    summary = "More input tokens than 60000 (or a number of your own), or the last turn had and this one has 20000."
    example = True
    is_deep = False

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true for the usual threshold, or another number."""
        threshold = THRESHOLD if value is True else number(value, self.name)

        def test(traits: Traits) -> Finding:
            tokens = traits.input_tokens
            if tokens > threshold:
                return Finding(True, f"{tokens} of more than {threshold} tokens")
            if tokens > STILL_LONG and (last := traits.last_input_tokens) > threshold:
                return Finding(True, f"{tokens} tokens after {last} in the last turn")
            return Finding(False, f"{tokens} of more than {threshold} tokens")

        return test

    def asks_last_turn(self, value: Any) -> bool:
        """Return that it does."""
        return True
