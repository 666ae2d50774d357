"""One of some words is in what the user said."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import re2

from routing.engine.rule import Condition, Finding, Screen, Setting, Test, texts
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
        miss = Finding(False, _none_of(words))
        hits = tuple((word, Finding(True, f"keyword `{word}`")) for word in words)

        def test(traits: Traits) -> Finding:
            text = traits.lower_text
            for word, hit in hits:
                if word in text:
                    return hit
            return miss

        return test

    def screen(self, values: Sequence[Any]) -> Screen | None:
        """Return one search of the whole body for all the words."""
        words = {word.lower() for value in values if _is_verbatim(value) for word in texts(value, self.name)}
        return _Found(_search(words)) if 0 < sum(map(len, words)) <= _MAX_CHARS else None


#: Characters of all words of all rules that one search takes, and its memory: with more it would no longer be quick.
_MAX_CHARS = 10_000
_MAX_BYTES = 8 << 20
#: What a small letter may come from that is no letter of the same kind to a search: a large I with a dot.
_DOTTED = "İ".encode()
#: What stands in JSON otherwise than in its text.
_ESCAPED = re.compile(r'["\\/\x00-\x1f\x7f]')


class _Found(Screen):
    """Whether any of the words may be in the request."""

    def __init__(self, search: Callable[[bytes], Any]) -> None:
        self._search = search

    def look(self, traits: Traits) -> Hashable:
        """Return True where one is somewhere in the body, or where the body would have to be read to know."""
        body = traits.call.body
        return b"\\u" in body or _DOTTED in body or self._search(body) is not None

    def missed(self, value: Any, seen: Hashable) -> str:
        """Say so of rules all whose words were searched for."""
        return "" if seen or not _is_verbatim(value) else _none_of(texts(value, "keywords"))


def _is_verbatim(value: Any) -> bool:
    """Whether all words stand in a body as they stand in its text, and differ from it in the case of ASCII at most."""
    return not any(
        _ESCAPED.search(word) or any(not letter.isascii() and letter.lower() != letter.upper() for letter in word)
        for word in texts(value, "keywords")
    )


def _search(words: set[str]) -> Callable[[bytes], Any]:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _MAX_BYTES
    options.never_capture = True
    found: Callable[[bytes], Any] = re2.compile("|".join(map(re2.escape, sorted(words))), options).search
    return found


def _none_of(words: tuple[str, ...]) -> str:
    return f"none of {len(words)} keyword(s)"
