"""A hosted web search is among the tools."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class WebSearch(Condition):
    """A hosted web search is among the tools."""

    name = "webSearch"
    summary = "A web search that the upstream runs is among the tools."
    example = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        yes, no = Finding(wanted, "a web search is on offer"), Finding(not wanted, "no web search is on offer")

        def test(traits: Traits) -> Finding:
            return yes if traits.has_web_search else no

        return test
