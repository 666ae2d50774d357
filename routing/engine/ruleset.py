"""A tenant's rules made ready: each condition with its value, the cheap ones first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any
from weakref import WeakKeyDictionary

from routing.engine.decision import RuleTrace
from routing.engine.rule import Condition, Finding, Keeps, Setting, Test
from routing.engine.rules import RULES
from routing.engine.snapshot import RuleSpec, Snapshot
from routing.engine.traits import Traits

#: What a rule is for. Each but the first and the last says when it holds by the condition of its own name.
TYPES = ("default", "background", "think", "longContext", "webSearch", "image", "subagent", "custom")
_OWN_TESTS = frozenset(TYPES) - {"default", "custom"}


@dataclass(slots=True)
class Rule:
    """One rule, ready to be asked. `fault` says why it cannot be; it is passed over then."""

    spec: RuleSpec
    #: What the request's model and tags decide comes first: so many of the tests.
    tests: tuple[Test, ...] = ()
    settled: int = 0
    keeps: tuple[Keeps, ...] = ()
    fault: str = ""
    #: The tests that are left to be asked of each request.
    asked: tuple[Test, ...] = ()
    #: The last finding that made it miss, and the trace of that: most rules miss by the same one again and again.
    missed: Finding | None = None
    trace: RuleTrace | None = None

    def miss(self, finding: Finding) -> RuleTrace:
        """Return the trace of a miss."""
        if finding is not self.missed or self.trace is None:
            self.missed, self.trace = finding, RuleTrace(self.spec.slug, False, finding.measured)
        return self.trace


def conditions_of(kind: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return all conditions of a rule: those it names, and its type's own where none of them says when.

    A rule of type `think` with `keywords` is matched by its keywords, as the first rules were; one with nothing, or
    with a header or the time of day beside it, is matched by thinking being asked for.
    """
    found = dict(condition)
    if kind in _OWN_TESTS and kind not in found and not any(_known(name).says_when for name in found):
        found[kind] = True
    return found


def compile_rule(spec: RuleSpec, setting: Setting) -> Rule:
    """Return a rule ready to be asked.

    Raises:
        ValueError: its type or a condition is not known, or a value makes no sense; the text says what to write.
    """
    if spec.type not in TYPES:
        raise ValueError(f"there is no type {shortened(spec.type)}; there are: {', '.join(TYPES)}")
    found = conditions_of(spec.type, spec.condition)
    tests: list[Test] = []
    keeps: list[Keeps] = []
    settled = 0
    for name, value in sorted(found.items(), key=lambda item: _place(_known(item[0]))):
        condition = _known(name)
        test, kept = condition.test(value, setting), condition.keeps(value)
        if test is not None:
            tests.append(test)
            settled += condition.is_settled
        keeps += [kept] if kept is not None else []
    return Rule(spec, tuple(tests), settled, tuple(keeps), asked=tuple(tests[settled:]))


def _place(condition: Condition) -> tuple[bool, bool]:
    return not condition.is_settled, condition.is_deep


def _known(name: str) -> Condition:
    if name not in RULES:
        raise ValueError(f"there is no condition {shortened(name)}; there are: {', '.join(RULES)}")
    return RULES[name]


_READY: WeakKeyDictionary[Snapshot, tuple[Rule, ...]] = WeakKeyDictionary()


def rules_of(snapshot: Snapshot) -> tuple[Rule, ...]:
    """Return the rules of a snapshot that are switched on, highest priority first; made ready on first use."""
    if not snapshot.document.rules:
        return ()
    ready = _READY.get(snapshot)
    if ready is None:
        setting = Setting(snapshot.document.timezone)
        ranked = sorted(snapshot.document.rules, key=lambda spec: -spec.priority)
        ready = _READY[snapshot] = tuple(_made(spec, setting) for spec in ranked if spec.is_enabled)
    return ready


def rules_for(snapshot: Snapshot, traits: Traits) -> tuple[tuple[Rule, RuleTrace | None], ...]:
    """Return the rules with what the model and the tags decide of them already: a trace for those that miss by it."""
    key = ("rules", traits.model, tuple(traits.key_tags.items()))
    found: tuple[tuple[Rule, RuleTrace | None], ...] | None = snapshot.remembered.get(key)
    if found is None:
        found = judged(rules_of(snapshot), traits)
        snapshot.remember(key, found)
    return found


def judged(rules: Iterable[Rule], traits: Traits) -> tuple[tuple[Rule, RuleTrace | None], ...]:
    """Return rules with what the model and the tags decide of them; see `rules_for`."""
    return tuple((rule, _settled(rule, traits)) for rule in rules)


def _settled(rule: Rule, traits: Traits) -> RuleTrace | None:
    for test in rule.tests[: rule.settled]:
        finding = test(traits)
        if not finding.holds:
            return RuleTrace(rule.spec.slug, False, finding.measured)
    return None


def _made(spec: RuleSpec, setting: Setting) -> Rule:
    """Return a rule; what was right when it was stored may need a package that this process has not."""
    try:
        return compile_rule(spec, setting)
    except (ValueError, TypeError, LookupError) as error:  # a package's condition may know less of its values
        return Rule(spec, fault=str(error))
