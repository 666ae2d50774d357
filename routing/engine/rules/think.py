"""Thinking is asked for."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class Think(Condition):
    """Thinking is asked for."""

    name = "think"
    summary = "Thinking is asked for."
    example = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        yes, no = Finding(wanted, "thinking is asked for"), Finding(not wanted, "no thinking is asked for")

        def test(traits: Traits) -> Finding:
            return yes if traits.is_thinking else no

        return test
