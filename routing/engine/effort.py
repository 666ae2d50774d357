"""Reasoning effort in its three spellings: a word, a token budget, a level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from routing.engine.messages import Effort, Thinking

#: Word → budget in tokens; `max` is the model's own maximum where that is known.
BUDGETS: dict[Effort, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 4096,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 65536,
}
#: From weak to strong.
ORDER: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: The least that manual thinking takes (Anthropic).
MIN_BUDGET = 1024


def budget_of(effort: Effort, maximum: int | None = None) -> int:
    """Return the thinking budget in tokens that an effort stands for, within a model's maximum."""
    budget = maximum if effort == "max" and maximum is not None else BUDGETS[effort]
    return budget if maximum is None else min(budget, maximum)


def effort_of(budget_tokens: int) -> Effort:
    """Return the effort that a budget stands for; −1 (the model decides) is medium."""
    if budget_tokens < 0:
        return "medium"
    if budget_tokens == 0:
        return "none"
    if budget_tokens < 4096:
        return "low"
    return "medium" if budget_tokens < 16384 else "high"


def wanted_effort(thinking: Thinking) -> Effort | None:
    """Return the effort that a wish amounts to; None where the client left it open."""
    if thinking.mode == "disabled":
        return "none"
    if thinking.effort is not None:
        return thinking.effort
    return None if thinking.budget_tokens is None else effort_of(thinking.budget_tokens)


def nearest(effort: Effort, known: Sequence[str], words: Iterable[tuple[str, str]] = ()) -> str:
    """Return the effort among those an upstream knows that is nearest, the weaker one when two are equally near.

    `words` are those that it takes for one of its own.
    """
    for word, meant in words:
        if word == effort:
            return meant
    if effort in known:
        return effort
    place = ORDER.index(effort)
    ranked = sorted((e for e in ORDER if e in known and (e == "none") == (effort == "none")), key=ORDER.index)
    if not ranked:
        return effort
    return min(ranked, key=lambda e: abs(ORDER.index(e) - place))
