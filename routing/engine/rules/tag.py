"""The key, or its tenant, carries a tag."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from reprlib import repr as shortened
from typing import Any, ClassVar

from routing.engine.rule import MAX_TEXT_CHARS, MAX_TEXTS, Condition, Finding, Setting, Test
from routing.engine.traits import Traits


class _Tag(Condition):
    """All named tags, with these values."""

    example: ClassVar[Any] = {"team": "core"}
    is_deep = False
    is_settled = True

    @abstractmethod
    def tags(self, traits: Traits) -> Mapping[str, str]:
        """Return the tags that are looked at."""

    def test(self, value: Any, setting: Setting) -> Test:
        """Take {name: value}, or `name=value`."""
        wanted = _wanted(value, self.name)
        hit = Finding(True, ", ".join(f"{name}={text}" for name, text in wanted.items()))
        tags = self.tags

        @lru_cache(maxsize=64)
        def miss(name: str, text: str | None) -> Finding:
            return Finding(False, f"no tag `{name}`" if text is None else f"{name}={text}")

        def test(traits: Traits) -> Finding:
            found = tags(traits)
            for name, text in wanted.items():
                if found.get(name) != text:
                    return miss(name, found.get(name))
            return hit

        return test


def _wanted(value: Any, name: str) -> dict[str, str]:
    if isinstance(value, str) and "=" in value:
        key, _, text = value.partition("=")
        value = {key.strip(): text.strip()}
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_TEXTS:
        raise ValueError(f"{name} looks like {{team: core}} or team=core")
    for each in (*value, *value.values()):
        if not isinstance(each, str) or len(each) > MAX_TEXT_CHARS:
            raise ValueError(f"{name}: names and values of tags are texts, not {shortened(each)}")
    return dict(value)


class KeyTag(_Tag):
    """Tags of the key."""

    name = "keyTag"
    summary = "The key carries these tags."

    def tags(self, traits: Traits) -> Mapping[str, str]:
        """Return the key's."""
        return traits.key_tags


class TenantTag(_Tag):
    """Tags of the tenant."""

    name = "tenantTag"
    summary = "The tenant carries these tags."

    def tags(self, traits: Traits) -> Mapping[str, str]:
        """Return the tenant's."""
        return traits.tenant_tags
