"""Thinking, effort and the sampling they rule out, both ways."""

from __future__ import annotations

from typing import Any, get_args

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange
from routing.engine.effort import MIN_BUDGET, budget_of, effort_of, nearest, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.formats.anthropic.shape import Object, count_of, object_of, rest_of, text_of
from routing.engine.formats.anthropic.tools import is_forced
from routing.engine.formats.anthropic.vocabulary import NAME, is_strict_version
from routing.engine.messages import ChatRequest, Effort, Thinking

_MODES = ("enabled", "adaptive", "disabled")
_DISPLAYS = {"summarized": True, "omitted": False}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
#: What thinking as the model sees fit amounts to where a budget has to be named.
_OPEN_EFFORT: Effort = "medium"


# --- read ----------------------------------------------------------------------------------------------------------


def decode_thinking(body: Object) -> tuple[Thinking | None, Object]:
    """Return the wish for thinking, and the members of `thinking` that only this format has.

    Raises:
        BadRequest: it is not of the shape that the format gives it.
    """
    said = object_of(body.get("thinking"), "thinking")
    effort = object_of(body.get("output_config"), "output_config").get("effort")
    if effort is not None and effort not in get_args(Effort):
        raise BadRequest(f"`output_config.effort` must be one of {', '.join(_EFFORTS)}.", param="output_config.effort")
    mode = said.get("type")
    if said and mode not in _MODES:
        # A mode that has no word elsewhere (thinking between calls only) is kept as it is.
        text_of(mode, "thinking.type")
        return (Thinking(effort=effort) if effort else None), said
    display = said.get("display")
    own = rest_of(said, frozenset({"type", "budget_tokens", "display"}))
    if isinstance(display, str) and display not in _DISPLAYS:
        own["display"] = display
    budget = count_of(said.get("budget_tokens"), "thinking.budget_tokens")
    if not said and effort is None:
        return None, own
    shown = _DISPLAYS.get(display) if isinstance(display, str) else None
    return Thinking(mode if said else None, effort, budget, is_shown=shown), own


# --- written -------------------------------------------------------------------------------------------------------


def add_thinking(body: Object, exchange: Exchange, own: Any, *, may_think: bool) -> None:
    """Write thinking and effort into a body that has its tools and its `max_tokens`, and raise the latter if need be.

    `own` are the members of `thinking` that only this format has. Without `may_think` the history lacks the thinking
    that manual mode wants to see.
    """
    request, can = exchange.request, exchange.target.capabilities
    wish = request.thinking or Thinking()
    wanted = wanted_effort(wish)
    own = own if isinstance(own, dict) else {}
    is_own_mode = bool(own.get("type"))
    _add_effort(body, exchange, wish)
    if not is_own_mode and wanted == "none":
        if can.thinking != "none":
            body["thinking"] = {"type": "disabled"}
        return
    if is_forced(body) and can.reasons_by_default:
        body["thinking"] = {"type": "disabled"}
    if not is_own_mode and not _is_wanted(request, wish, wanted):
        return
    if can.thinking == "none" or is_forced(body) or (can.thinking == "enabled" and not may_think):
        exchange.losses.dropped("thinking")
        return
    config: Object | None = {} if is_own_mode else _config(body, exchange, wish, wanted or _OPEN_EFFORT)
    if config is None:
        exchange.losses.dropped("thinking")
        return
    body["thinking"] = {**config, **own}


def _is_wanted(request: ChatRequest, wish: Thinking, wanted: Effort | None) -> bool:
    """Whether thinking is to be on. In this format effort alone does not switch it on; in others it does."""
    if wish.mode is not None:
        return True
    return wanted is not None and request.format != NAME


def _config(body: Object, exchange: Exchange, wish: Thinking, effort: Effort) -> Object | None:
    can = exchange.target.capabilities
    if can.thinking == "adaptive":
        config: Object = {"type": "adaptive"}
    else:
        wants = wish.budget_tokens if (wish.budget_tokens or 0) > 0 else budget_of(effort, can.max_thinking)
        limit = body["max_tokens"]
        budget = _budget(body, can, wants or MIN_BUDGET)
        if budget is None:
            return None
        if exchange.request.max_tokens is not None and body["max_tokens"] != limit:
            exchange.losses.clamped("max_tokens")
        config = {"type": "enabled", "budget_tokens": budget}
    if wish.is_shown is not None or wish.summary is not None:
        config["display"] = "omitted" if wish.is_shown is False else "summarized"
    return config


def _budget(body: Object, can: Capabilities, wanted: int) -> int | None:
    """Return a budget that leaves room for an answer, None where there is no room for thinking.

    The limit of the whole output is raised by the budget as far as the model goes; then the budget is cut, to what the
    answer's own limit leaves, or to three quarters of all.
    """
    budget = max(wanted, MIN_BUDGET)
    if can.max_thinking is not None:
        budget = max(min(budget, can.max_thinking), MIN_BUDGET)
    limit: int = body["max_tokens"]
    if limit > budget:
        return budget
    total = limit + budget
    if can.max_output is not None:
        total = max(min(total, can.max_output), limit)
    budget = max(min(budget, max(total - limit, total * 3 // 4)), MIN_BUDGET)
    if budget >= total:
        return None
    body["max_tokens"] = total
    return budget


def _add_effort(body: Object, exchange: Exchange, wish: Thinking) -> None:
    request, can = exchange.request, exchange.target.capabilities
    effort = wish.effort
    if effort is None and wish.budget_tokens is not None and can.thinking == "adaptive" and wish.mode != "disabled":
        effort = effort_of(wish.budget_tokens)
    if effort is None or effort == "none":
        return
    if can.thinking == "adaptive" or (request.format == NAME and can.reasoning_effort):
        known = [each for each in _EFFORTS if each in can.efforts] or _EFFORTS
        body.setdefault("output_config", {})["effort"] = nearest(effort, known, can.effort_words)
    elif request.format == NAME and wish.effort is not None and can.thinking != "none":
        exchange.losses.dropped("effort")


def add_sampling(body: Object, exchange: Exchange) -> None:
    """Write temperature, top_p and top_k as far as the version spoken and thinking leave them."""
    request, can = exchange.request, exchange.target.capabilities
    is_thinking = body.get("thinking", {}).get("type", "disabled") != "disabled"
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is None:
            continue
        is_beside_thinking = is_thinking and not can.sampling_with_reasoning and (name, value) != ("temperature", 1)
        is_one_too_many = name == "top_p" and "temperature" in body and not can.sampling_together
        if is_beside_thinking or is_one_too_many or is_strict_version(can):
            exchange.losses.dropped(name)
        else:
            body[name] = value
