"""A regular expression matches what the user said, or the model's name; in time that grows with the text only."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import re2

from routing.engine.rule import MAX_TEXT_CHARS, Condition, Finding, Setting, Test
from routing.engine.traits import Traits

MAX_PATTERN_CHARS = 1000
#: Memory of a compiled pattern: RE2 refuses what would need more, such as thousandfold repetitions.
MAX_PATTERN_BYTES = 1 << 20


def searcher(value: Any, name: str) -> Callable[[bytes], Any]:
    """Return a search, in any case, of UTF-8 bytes.

    Raises:
        ValueError: it is no pattern that RE2 takes; look-around and back references have no linear time.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATTERN_CHARS:
        raise ValueError(f"{name} is a regular expression of 1 to {MAX_PATTERN_CHARS} characters")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_PATTERN_BYTES
    options.never_capture = True
    try:
        compiled = re2.compile(value, options)
    except re2.error as error:
        told = error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else error
        raise ValueError(f"{name}: RE2 cannot take this pattern: {told}") from None
    return cast("Callable[[bytes], Any]", compiled.search)


class UserPattern(Condition):
    """A pattern in what the user said."""

    name = "userPattern"
    summary = "A regular expression (RE2 syntax, any case) matches somewhere in what the user said."
    example = r"\bunit tests?\b"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a pattern."""
        search = searcher(value, self.name)
        hit, miss = Finding(True, "the text matches"), Finding(False, "the text does not match")

        def test(traits: Traits) -> Finding:
            return hit if search(traits.text_bytes) else miss

        return test


class ModelPattern(Condition):
    """A pattern in the name of the model that is asked for."""

    name = "modelPattern"
    summary = "A regular expression (RE2 syntax, any case) matches somewhere in the name of the model asked for."
    example = "opus|gpt-5"
    says_when = True
    is_deep = False
    is_settled = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take a pattern."""
        search = searcher(value, self.name)

        @lru_cache(maxsize=256)
        def finding(model: str) -> Finding:
            return Finding(search(model.encode("utf-8", "replace")) is not None, model)

        # A tenant's clients name few models, so most were looked at before.
        def test(traits: Traits) -> Finding:
            return finding(traits.model[:MAX_TEXT_CHARS])

        return test
