"""A tenant's rules made ready: each condition with its value, the cheap ones first."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as shortened
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from routing.engine.decision import RuleTrace
from routing.engine.document import RuleSpec
from routing.engine.rule import Condition, Finding, Keeps, Screen, Setting, Test
from routing.engine.rules import RULES
from routing.engine.snapshot import Snapshot
from routing.engine.traits import Traits

#: What a rule is for. Each but the first and the last says when it holds by the condition of its own name.
TYPES = ("default", "background", "think", "longContext", "webSearch", "image", "subagent", "custom")
#: Characters that are kept of why a rule cannot be asked.
MAX_FAULT_CHARS = 300
_OWN_TESTS = frozenset(TYPES) - {"default", "custom"}


@dataclass(slots=True)
class Rule:
    """One rule, ready to be asked. `fault` says why it cannot be; it is passed over then."""

    spec: RuleSpec
    #: Each condition that it has, with its value.
    conditions: dict[str, Any] = field(default_factory=dict)
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
    return Rule(spec, found, tuple(tests), settled, tuple(keeps), asked=tuple(tests[settled:]))


def _place(condition: Condition) -> tuple[bool, bool]:
    return not condition.is_settled, condition.is_deep


def _known(name: str) -> Condition:
    if name not in RULES:
        raise ValueError(f"there is no condition {shortened(name)}; there are: {', '.join(RULES)}")
    return RULES[name]


#: What each screen saw of a request, by the condition that it is for.
Seen = Mapping[str, tuple[Screen, Hashable]]


class Stretch(NamedTuple):
    """Rules that are known to miss, one after the other, and the rule after them that has to be asked, if any."""

    misses: tuple[RuleTrace, ...]
    rule: Rule | None


class Ruleset:
    """The rules of a snapshot that are switched on, highest priority first, with screens and errands."""

    def __init__(self, snapshot: Snapshot) -> None:
        setting = Setting(snapshot.document.timezone)
        ranked = sorted(snapshot.document.rules, key=lambda spec: -spec.priority)
        self.rules = tuple(_made(spec, setting) for spec in ranked if spec.is_enabled)
        values: dict[str, list[Any]] = {}
        for rule in self.rules:
            for name, value in rule.conditions.items():
                values.setdefault(name, []).append(value)
        screens = {name: RULES[name].screen(found) for name, found in values.items()}
        self.screens = {name: screen for name, screen in screens.items() if screen is not None}
        errands = (RULES[name].errand(found) for name, found in values.items())
        self.errands = tuple(errand for errand in errands if errand is not None)
        self.asks_last_turn = any(RULES[name].asks_last_turn(each) for name, found in values.items() for each in found)

    def stretches(self, snapshot: Snapshot, traits: Traits) -> tuple[Stretch, ...]:
        """Return what the model, the tags and the screens leave to be asked; the same for many requests."""
        looks = [screen.look(traits) for screen in self.screens.values()]
        key = ("rules", traits.model, tuple(traits.key_tags.items()), *looks)
        found: tuple[Stretch, ...] | None = snapshot.remembered.get(key)
        if found is None:
            seen = dict(zip(self.screens, zip(self.screens.values(), looks, strict=True), strict=True))
            found = judged(self.rules, traits, seen)
            snapshot.remember(key, found)
        return found


_READY: WeakKeyDictionary[Snapshot, Ruleset] = WeakKeyDictionary()


def rules_of(snapshot: Snapshot) -> Ruleset:
    """Return a snapshot's rules, made ready when somebody first asks: the gateway does as soon as it has one."""
    ready = _READY.get(snapshot)
    if ready is None:
        ready = _READY[snapshot] = Ruleset(snapshot)
    return ready


def judged(rules: Iterable[Rule], traits: Traits, seen: Seen | None = None) -> tuple[Stretch, ...]:
    """Return rules with what the model, the tags and perhaps some screens decide of them already."""
    stretches: list[Stretch] = []
    misses: list[RuleTrace] = []
    for rule in rules:
        trace = RuleTrace(rule.spec.slug, skipped=rule.fault) if rule.fault else _settled(rule, traits, seen or {})
        if trace is not None:
            misses.append(trace)
        else:
            stretches.append(Stretch(tuple(misses), rule))
            misses = []
    return (*stretches, Stretch(tuple(misses), None))


def _settled(rule: Rule, traits: Traits, seen: Seen) -> RuleTrace | None:
    for test in rule.tests[: rule.settled]:
        finding = test(traits)
        if not finding.holds:
            return RuleTrace(rule.spec.slug, False, finding.measured)
    for name, value in rule.conditions.items():
        if name in seen:
            screen, look = seen[name]
            if why := screen.missed(value, look):
                return RuleTrace(rule.spec.slug, False, why)
    return None


def _made(spec: RuleSpec, setting: Setting) -> Rule:
    """Return a rule; what was right when it was stored may need a package that this process has not."""
    try:
        return compile_rule(spec, setting)
    except (ValueError, TypeError, LookupError) as error:  # a package's condition may know less of its values
        return Rule(spec, fault=str(error)[:MAX_FAULT_CHARS])
