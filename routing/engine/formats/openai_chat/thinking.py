"""How much a model should think: the member of the format, and the switches of its dialects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels_app.engine.capabilities import Capabilities
from routing.engine.effort import ORDER, budget_of, nearest, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.formats.openai_chat.fields import Fields
from routing.engine.losses import Losses
from routing.engine.messages import Effort, Thinking

JSON = dict[str, Any]

#: Members in which dialects say it; kept for an upstream about whose switch nothing is known.
DIALECTS = ("reasoning", "thinking", "enable_thinking", "thinking_budget", "think")
_LEVELS = ("low", "medium", "high")


# --- from a client ---------------------------------------------------------------------------------------------------


def read_thinking(body: Fields) -> Thinking | None:
    """Return what a client wants of the model's reasoning, in whichever of the members it says so.

    Raises:
        BadRequest: an effort that is none, or a member of another type.
    """
    reasoning, thinking, template = (_object(body, name) for name in ("reasoning", "thinking", "chat_template_kwargs"))
    think = body.get("think")
    effort = _effort(body, "reasoning_effort") or _effort(reasoning, "effort")
    if effort is None and isinstance(think, str):
        effort = _effort(body, "think")
    budgets = (reasoning.count("max_tokens"), thinking.count("budget_tokens"), body.count("thinking_budget"))
    switches = (
        {"enabled": True, "adaptive": True, "auto": True, "disabled": False}.get(thinking.text("type")),
        body.flag("enable_thinking"),
        reasoning.flag("enabled"),
        think if isinstance(think, bool) else None,
        _template_switch(template),
    )
    is_on = next((switch for switch in switches if switch is not None), None)
    budget = next((budget for budget in budgets if budget is not None), None)
    is_hidden = reasoning.flag("exclude")
    if effort is None and is_on is None and budget is None and is_hidden is None:
        return None
    return Thinking(
        mode=None if is_on is None else "enabled" if is_on else "disabled",
        effort=effort,
        budget_tokens=budget,
        is_shown=None if is_hidden is None else not is_hidden,
    )


def _object(body: Fields, name: str) -> Fields:
    """Return a dialect's object; what is none is left for that dialect to understand."""
    value = body.get(name)
    return Fields(value if isinstance(value, dict) else {}, body.place(name))


def _effort(fields: Fields, name: str) -> Effort | None:
    word = fields.text(name)
    for effort in ORDER:
        if effort == word:
            return effort
    if word and word != "default":
        known = ", ".join(ORDER)
        raise BadRequest(f"`{fields.place(name)}` must be one of {known}, not `{word}`.", param=fields.place(name))
    return None


def _template_switch(template: Fields) -> bool | None:
    value = template.get("enable_thinking")
    value = template.get("thinking") if value is None else value
    return value if isinstance(value, bool) else None


# --- to an upstream --------------------------------------------------------------------------------------------------


def is_thinking(thinking: Thinking | None, can: Capabilities) -> bool:
    """Whether the model will think: as it is asked to, by itself where nothing is said."""
    effort = None if thinking is None else wanted_effort(thinking)
    if thinking is None or (effort is None and thinking.mode is None):
        return can.reasons_by_default
    return effort != "none" or not can.thinking_off


def write_thinking(thinking: Thinking | None, can: Capabilities, native: JSON, losses: Losses) -> JSON:
    """Return the members that say how much to think; `native` are the members that the client sent for this format."""
    if thinking is None:
        return {}
    effort = wanted_effort(thinking)
    if effort is None and thinking.mode is None:
        is_hidden = thinking.is_shown is False and can.thinking_switch == "reasoning"
        return {"reasoning": {"exclude": True}} if is_hidden else {}
    if effort == "none" and not can.thinking_off:
        losses.dropped("thinking")
        return {}
    if can.thinking_switch:
        return _SWITCHES[can.thinking_switch](thinking, effort, can, native)
    if can.reasoning_effort:
        return _write_effort(effort, can, losses)
    said = {name: native[name] for name in DIALECTS if name in native}
    if not said:
        losses.dropped("thinking")
    return said


def _write_effort(effort: Effort | None, can: Capabilities, losses: Losses) -> JSON:
    if effort is None:
        return {}
    if effort == "none" and "none" not in can.efforts and can.efforts:
        # It cannot be switched off; the least is nearest to nothing.
        losses.emulated("thinking")
        return {"reasoning_effort": can.efforts[0]}
    word = nearest(effort, can.efforts, can.effort_words)
    if word not in can.efforts:
        losses.dropped("thinking")
        return {}
    return {"reasoning_effort": word}


def _word(effort: Effort | None, can: Capabilities) -> JSON:
    """Return the effort beside a switch that is on, where the upstream takes both."""
    if not can.reasoning_effort or effort in {None, "none"}:
        return {}
    return {"reasoning_effort": nearest(effort, can.efforts, can.effort_words)}


def _by_object(thinking: Thinking, effort: Effort | None, can: Capabilities, native: JSON) -> JSON:
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, **_word(effort, can)}


def _by_flag(thinking: Thinking, effort: Effort | None, can: Capabilities, native: JSON) -> JSON:
    if effort == "none":
        return {"enable_thinking": False}
    budget = thinking.budget_tokens
    if budget is None and thinking.effort is not None:
        budget = budget_of(thinking.effort, can.max_thinking)
    if budget is None or budget < 0 or not can.thinking_budget:
        return {"enable_thinking": True}
    return {"enable_thinking": True, "thinking_budget": min(budget, can.max_thinking or budget)}


def _by_reasoning(thinking: Thinking, effort: Effort | None, can: Capabilities, native: JSON) -> JSON:
    """Return the one object that takes either an effort or a budget, never both."""
    budget = thinking.budget_tokens
    said: JSON = {"enabled": True}
    if effort == "none":
        said = {"effort": "none"} if "none" in can.efforts else {"enabled": False}
    elif thinking.effort is None and budget is not None and budget > 0:
        said = {"max_tokens": budget}
    elif effort is not None:
        said = {"effort": nearest(effort, can.efforts)}
    if thinking.is_shown is False:
        said["exclude"] = True
    return {"reasoning": said}


def _by_template(thinking: Thinking, effort: Effort | None, can: Capabilities, native: JSON) -> JSON:
    given = native.get("chat_template_kwargs")
    template = {**(given if isinstance(given, dict) else {}), "enable_thinking": effort != "none"}
    return {"chat_template_kwargs": template, **_word(effort, can)}


def _by_think(thinking: Thinking, effort: Effort | None, can: Capabilities, native: JSON) -> JSON:
    if effort is None or effort == "none":
        return {"think": effort is None}
    levels = [level for level in _LEVELS if level in can.efforts]
    return {"think": nearest(effort, levels) if levels else True}


_SWITCHES: dict[str, Callable[[Thinking, Effort | None, Capabilities, JSON], JSON]] = {
    "thinking": _by_object,
    "enable_thinking": _by_flag,
    "reasoning": _by_reasoning,
    "chat_template_kwargs": _by_template,
    "think": _by_think,
}
