"""A picture is in the user's last turn."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class NewImage(Condition):
    """A picture is in the user's last turn."""

    name = "image"
    summary = "A picture came since the model last spoke, also inside the answer of a tool."
    example = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        none = Finding(not wanted, "0 pictures")

        def test(traits: Traits) -> Finding:
            found = traits.new_images
            return Finding(wanted, f"{found} picture(s)") if found else none

        return test
