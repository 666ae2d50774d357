"""Tools are on offer."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class HasTools(Condition):
    """Tools are on offer."""

    name = "hasTools"
    summary = "Tools are on offer."
    example = True
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        yes, no = Finding(wanted, "tools are on offer"), Finding(not wanted, "no tools are on offer")

        def test(traits: Traits) -> Finding:
            return yes if traits.has_tools else no

        return test
