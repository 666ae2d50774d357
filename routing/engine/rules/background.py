"""A background call: agents ask a small model for their work on the side."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits


class Background(Condition):
    """A background call: agents ask a small model for their work on the side."""

    name = "background"
    summary = "A small model for work on the side is asked for: its name has claude and haiku in it."
    example = True
    is_deep = False
    is_settled = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        yes, no = (
            Finding(wanted, "a background model is asked for"),
            Finding(not wanted, "no background model is asked for"),
        )

        def test(traits: Traits) -> Finding:
            return yes if "haiku" in (model := traits.model.lower()) and "claude" in model else no

        return test
