"""One of some words is in what the user said."""

from __future__ import annotations

from typing import Any

from routing.engine.rule import Condition, Finding, Setting, Test, texts
from routing.engine.traits import Traits


class Keywords(Condition):
    """Any of the words, in any case, also inside longer ones."""

    name = "keywords"
    summary = "One of these words is in what the user said, in any case and also inside longer words."
    example = ("plan", "step by step")
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a word or a list of them."""
        words = tuple(word.lower() for word in texts(value, self.name))
        miss = Finding(False, f"none of {len(words)} keyword(s)")
        hits = tuple((word, Finding(True, f"keyword `{word}`")) for word in words)

        def test(traits: Traits) -> Finding:
            text = traits.lower_text
            for word, hit in hits:
                if word in text:
                    return hit
            return miss

        return test
