"""A tenant's rules made ready: each condition with its value, the cheap ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any
from weakref import WeakKeyDictionary

from routing.engine.decision import RuleTrace
from routing.engine.rule import Condition, Finding, Keeps, Setting, Test
from routing.engine.rules import RULES
from routing.engine.snapshot import RuleSpec, Snapshot

#: What a rule is for. Each but the first and the last says when it holds by the condition of its own name.
TYPES = ("default", "background", "think", "longContext", "webSearch", "image", "subagent", "custom")
_OWN_TESTS = frozenset(TYPES) - {"default", "custom"}


@dataclass(slots=True)
class Rule:
    """One rule, ready to be asked. `fault` says why it cannot be; it is passed over then."""

    spec: RuleSpec
    tests: tuple[Test, ...] = ()
    keeps: tuple[Keeps, ...] = ()
    fault: str = ""
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
    for name, value in sorted(found.items(), key=lambda item: _known(item[0]).is_deep):
        condition = _known(name)
        test, kept = condition.test(value, setting), condition.keeps(value)
        tests += [test] if test is not None else []
        keeps += [kept] if kept is not None else []
    return Rule(spec, tuple(tests), tuple(keeps))


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


def _made(spec: RuleSpec, setting: Setting) -> Rule:
    """Return a rule; what was right when it was stored may need a package that this process has not."""
    try:
        return compile_rule(spec, setting)
    except (ValueError, TypeError, LookupError) as error:  # a package's condition may know less of its values
        return Rule(spec, fault=str(error))
