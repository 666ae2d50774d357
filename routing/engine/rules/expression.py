"""A CEL expression over the request's traits: typed, without loops of its own, and never Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import cel

from routing.engine.rule import Condition, Finding, Setting, Test, zone_of
from routing.engine.traits import Traits

MAX_CHARS = 1000
#: The evaluation cannot be interrupted, so what it works on is bounded: each text and list that an expression sees,
MAX_TEXT_CHARS = 4096
MAX_ITEMS = 64
#: joins of texts (each copies what was joined so far), and macros (a second one would be a loop within a loop).
MAX_JOINS = 10
MACROS = frozenset({"all", "exists", "exists_one"})
FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "has", "int", "uint", "double", "string", "bool"}
)  # fmt: skip

_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_UNREAD = re.compile(r"""\b[rRbB]+["']|\"\"\"|'''""")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def _text(value: str) -> str:
    return value[-MAX_TEXT_CHARS:]


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return dict(list(tags.items())[:MAX_ITEMS])


Read = Callable[[Traits, ZoneInfo], Any]
#: Variable → (an example that gives its type, how it is read). Times are in the tenant's zone.
VARIABLES: Mapping[str, tuple[Any, Read]] = {
    "model": ("gpt-5.6", lambda traits, zone: _text(traits.model)),
    "text": ("Hello", lambda traits, zone: _text(traits.last_text)),
    "system": ("Be brief.", lambda traits, zone: _text(traits.system)),
    "tokens": (12, lambda traits, zone: traits.input_tokens),
    "last_tokens": (0, lambda traits, zone: traits.last_input_tokens),
    "words": (1, lambda traits, zone: traits.words),
    "images": (0, lambda traits, zone: traits.images),
    "tools": (["search"], lambda traits, zone: [name[:200] for name in traits.tool_names[:MAX_ITEMS]]),
    "has_code": (False, lambda traits, zone: traits.has_code),
    "has_web_search": (False, lambda traits, zone: traits.has_web_search),
    "is_thinking": (False, lambda traits, zone: traits.is_thinking),
    "category": ("general", lambda traits, zone: traits.category),
    "complexity": ("simple", lambda traits, zone: traits.complexity),
    "intent": ("question", lambda traits, zone: traits.intent),
    "user_agent": ("curl/8", lambda traits, zone: _text(traits.header("user-agent") or "")),
    "format": ("chat", lambda traits, zone: traits.call.format.name),
    "key_tags": ({"team": "core"}, lambda traits, zone: _tags(traits.key_tags)),
    "tenant_tags": ({"plan": "gold"}, lambda traits, zone: _tags(traits.tenant_tags)),
    "hour": (12, lambda traits, zone: traits.local_time(zone).hour),
    "weekday": (1, lambda traits, zone: traits.local_time(zone).isoweekday()),
}
_SAMPLE = {name: example for name, (example, _) in VARIABLES.items()}


class Expression(Condition):
    """Holds when the expression is true; what cannot be worked out, such as a tag that is not there, is a miss."""

    name = "expression"
    summary = 'A CEL expression over the request is true, such as tokens > 2000 && !("search" in tools).'
    example = 'tokens > 2000 && key_tags.team == "core"'

    def test(self, value: Any, setting: Setting) -> Test:
        """Take an expression."""
        program = _compiled(value)
        asked = [(name, VARIABLES[name][1]) for name in sorted(_names(value) & VARIABLES.keys())]
        zone = zone_of(setting.timezone)
        hit, miss = Finding(True, "true"), Finding(False, "false")

        def test(traits: Traits) -> Finding:
            try:
                return hit if program.execute(_context(traits, asked, zone)) is True else miss
            except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
                return Finding(False, f"{type(error).__name__}: {error}"[:200])

        return test

    def asks_last_turn(self, value: Any) -> bool:
        """Return whether the variable is in the expression."""
        return "last_tokens" in _names(value)


def _context(traits: Traits, asked: Sequence[tuple[str, Read]], zone: ZoneInfo) -> cel.Context:
    """Return a context with these variables: one for all expressions of a request, since filling it takes longest."""
    shared: tuple[cel.Context, set[str]] | None = traits.memo.get("expression")
    if shared is None:
        shared = traits.memo["expression"] = (cel.Context(), set())
    context, known = shared
    for name, read in asked:
        if name not in known:
            context.add_variable(name, read(traits, zone))
            known.add(name)
    return context


def _names(expression: str) -> set[str]:
    return set(_NAME.findall(_LITERAL.sub("''", expression)))


def _compiled(expression: Any) -> Any:
    """Return the program of an expression.

    Raises:
        ValueError: it is too long, may take too long, is no CEL, or is not true or false of a request.
    """
    if not isinstance(expression, str) or not 0 < len(expression) <= MAX_CHARS:
        raise ValueError(f"expression is CEL of 1 to {MAX_CHARS} characters")
    _check_cost(expression)
    try:
        program = cel.compile(expression)
        found = program.execute(_SAMPLE)
    except LookupError:
        return program  # a tag that the sample has not
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        known = f" Variables: {', '.join(VARIABLES)}." if isinstance(error, RuntimeError) else ""
        raise ValueError(f"expression: {str(error)[:300]}{known}") from None
    if found is not True and found is not False:
        raise ValueError(f"expression: it is a {type(found).__name__} and must be true or false")
    return program


def _check_cost(expression: str) -> None:
    if _UNREAD.search(expression):
        raise ValueError("expression: write texts in plain quotation marks, without r, b or three of them")
    code = _LITERAL.sub("''", expression)
    called = _CALL.findall(code)
    if unknown := set(called) - FUNCTIONS - MACROS:
        known = ", ".join(sorted(FUNCTIONS | MACROS))
        raise ValueError(
            f"expression: it may call {known}, not {', '.join(sorted(unknown))}; for patterns: userPattern"
        )
    if "//" in code:
        raise ValueError("expression: it may hold no comment; write that into the rule's description")
    macros = [name for name in called if name in MACROS]
    joins = code.count("+")
    if len(macros) > 1 or joins > (0 if macros else MAX_JOINS):
        raise ValueError(f"expression: at most one of {', '.join(sorted(MACROS))}, then without +; else {MAX_JOINS} +")
    if macros and not re.search(
        r"(?<![\w.])(?:tools|key_tags|tenant_tags)\s*\.\s*(?:all|exists|exists_one)\s*\(", code
    ):
        raise ValueError("expression: all, exists and exists_one go over tools, key_tags or tenant_tags")
