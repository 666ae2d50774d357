"""A picture is anywhere in the messages."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class HasImages(Condition):
    """A picture is anywhere in the messages."""

    name = "hasImages"
    summary = "A picture is in the messages, those in answers of tools included."
    example = True
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        none = Finding(not wanted, "0 pictures")

        def test(traits: Traits) -> Finding:
            found = traits.images
            return Finding(wanted, f"{found} picture(s)") if found else none

        return test
