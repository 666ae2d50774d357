"""What the user's text is about: its subject, its intent, its difficulty, the language of its code."""

from __future__ import annotations

from typing import Any, get_args

from routing.engine import judging
from routing.engine.rule import Condition, Finding, Setting, Test, texts
from routing.engine.traits import Traits


def _findings(value: Any, name: str, known: tuple[str, ...]) -> dict[str, Finding]:
    """Return what is found by each of the words that there are."""
    wanted = texts(value, name, known)
    return {each: Finding(each in wanted, each) for each in known}


class ContentCategory(Condition):
    """The user's last text is about this."""

    name = "contentCategory"
    summary = f"The user's last text is about this: {', '.join(get_args(judging.Category))}."
    example = "coding"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take one of the words, or a list of them."""
        findings = _findings(value, self.name, get_args(judging.Category))

        def test(traits: Traits) -> Finding:
            return findings[traits.category]

        return test


class ComplexityLevel(Condition):
    """The user's last text asks for this much."""

    name = "complexityLevel"
    summary = f"The user's last text asks for this much: {', '.join(get_args(judging.Complexity))}."
    example = "complex"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take one of the words, or a list of them."""
        findings = _findings(value, self.name, get_args(judging.Complexity))

        def test(traits: Traits) -> Finding:
            return findings[traits.complexity]

        return test


class IntentIs(Condition):
    """The user's last text wants this done."""

    name = "intent"
    summary = f"The user's last text wants this done: {', '.join(get_args(judging.Intent))}."
    example = "debug"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take one of the words, or a list of them."""
        findings = _findings(value, self.name, get_args(judging.Intent))

        def test(traits: Traits) -> Finding:
            return findings[traits.intent]

        return test


class ProgrammingLanguage(Condition):
    """The user's text holds code of this language."""

    name = "programmingLanguage"
    summary = f"The user's text holds code of this language: {', '.join(judging.LANGUAGES)}."
    example = "python"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take one of the words, or a list of them."""
        wanted = frozenset(texts(value, self.name, judging.LANGUAGES))

        def test(traits: Traits) -> Finding:
            found = traits.languages
            return Finding(not wanted.isdisjoint(found), ", ".join(sorted(found)) or "none")

        return test
