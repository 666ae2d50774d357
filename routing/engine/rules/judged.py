"""What the user's text is about: its subject, its intent, its difficulty, the language of its code."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, get_args

from routing.engine import judging
from routing.engine.rule import Condition, Finding, Setting, Test, texts
from routing.engine.traits import Traits


class _Judgement(Condition):
    """One of a few words is said of the user's last text."""

    says_when = True
    #: The words that there are.
    words: ClassVar[tuple[str, ...]]

    @abstractmethod
    def said(self, traits: Traits) -> str:
        """Return which of them is said of a request."""

    def test(self, value: Any, setting: Setting) -> Test:
        """Take one of the words, or a list of them."""
        wanted = texts(value, self.name, self.words)
        findings = {each: Finding(each in wanted, each) for each in self.words}
        said = self.said

        def test(traits: Traits) -> Finding:
            return findings[said(traits)]

        return test


class ContentCategory(_Judgement):
    """The user's last text is about this."""

    name = "contentCategory"
    words = get_args(judging.Category)
    summary = f"The user's last text is about this: {', '.join(words)}."
    example = "coding"

    def said(self, traits: Traits) -> str:
        """Return what it is about."""
        return traits.category


class ComplexityLevel(_Judgement):
    """The user's last text asks for this much."""

    name = "complexityLevel"
    words = get_args(judging.Complexity)
    summary = f"The user's last text asks for this much: {', '.join(words)}."
    example = "complex"

    def said(self, traits: Traits) -> str:
        """Return how much it asks for."""
        return traits.complexity


class IntentIs(_Judgement):
    """The user's last text wants this done."""

    name = "intent"
    words = get_args(judging.Intent)
    summary = f"The user's last text wants this done: {', '.join(words)}."
    example = "debug"

    def said(self, traits: Traits) -> str:
        """Return what it wants done."""
        return traits.intent


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
