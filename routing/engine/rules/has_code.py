"""The user's text holds source code."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class HasCode(Condition):
    """The user's text holds source code."""

    name = "hasCode"
    summary = "The user's text holds source code."
    example = True
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        yes, no = Finding(wanted, "there is code"), Finding(not wanted, "there is no code")

        def test(traits: Traits) -> Finding:
            return yes if traits.has_code else no

        return test
