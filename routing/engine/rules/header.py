"""Headers of the request have these values."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from fnmatch import translate
from reprlib import repr as shortened
from typing import Any

from routing.engine.rule import MAX_TEXT_CHARS, MAX_TEXTS, Condition, Finding, Screen, Setting, Test
from routing.engine.traits import Traits

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
#: Those that hold a caller's key: a rule has no business with them.
_SECRET = frozenset({"authorization", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization"})
#: Characters of a header's value that are compared.
_MAX_VALUE_CHARS = 1000


class HeaderIs(Condition):
    """All named headers are there, with values that the globs match."""

    name = "header"
    summary = "These request headers are sent, each with this value (a glob such as claude-cli*; true for any)."
    example = {"user-agent": "claude-cli*"}
    is_deep = False

    def test(self, value: Any, setting: Setting) -> Test:
        """Take {name: glob or true}."""
        if not isinstance(value, dict) or not 0 < len(value) <= MAX_TEXTS:
            raise ValueError("header looks like {x-team: core}, with true for any value")
        globs = [(str(name).lower(), _glob(name, wanted)) for name, wanted in value.items()]
        hit = Finding(True, "the headers are there")
        misses = {name: Finding(False, _missing(name)) for name, _ in globs}

        def test(traits: Traits) -> Finding:
            for name, glob in globs:
                sent = traits.header(name)
                if sent is None or (glob is not None and not glob.match(sent[:_MAX_VALUE_CHARS])):
                    return misses[name]
            return hit

        return test

    def screen(self, values: Sequence[Any]) -> Screen:
        """Return a look at which of the named headers are there."""
        return _Sent(values)


class _Sent(Screen):
    """Which of the headers that rules name were sent."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._names = frozenset(str(name).lower().encode("latin-1") for value in values for name in value)

    def look(self, traits: Traits) -> Hashable:
        """Return the names of those that were."""
        return self._names.intersection(traits.headers)

    def missed(self, value: Any, seen: Hashable) -> str:
        """Say which header is missing."""
        assert isinstance(seen, frozenset)
        names = (str(name).lower() for name in value)
        return next((_missing(name) for name in names if name.encode("latin-1") not in seen), "")


def _missing(name: str) -> str:
    return f"header `{name}` is not sent or has another value"


def _glob(name: Any, wanted: Any) -> re.Pattern[str] | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name.lower()):
        raise ValueError(f"{shortened(name)} is no header's name")
    if name.lower() in _SECRET:
        raise ValueError(f"header `{name}` holds a key, which a rule may not read; use keyTag")
    if wanted is True:
        return None
    if not isinstance(wanted, str) or len(wanted) > MAX_TEXT_CHARS or wanted.count("*") > 5:
        raise ValueError(f"header `{name}` takes a text of up to {MAX_TEXT_CHARS} characters, or true for any value")
    return re.compile(translate(wanted), re.IGNORECASE)
