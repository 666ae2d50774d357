"""The user said at least, or at most, so many words."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, number
from routing.engine.traits import Traits


class MinWordCount(Condition):
    """At least so many words."""

    name = "minWordCount"
    summary = "The user said at least this many words."
    example = 200
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a number."""
        least = number(value, self.name)

        def test(traits: Traits) -> Finding:
            words = traits.words
            return Finding(words >= least, f"{words} of {least} words")

        return test


class MaxWordCount(Condition):
    """At most so many words."""

    name = "maxWordCount"
    summary = "The user said at most this many words."
    example = 20
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a number."""
        most = number(value, self.name)

        def test(traits: Traits) -> Finding:
            words = traits.words
            return Finding(words <= most, f"{words} of at most {most} words")

        return test
