"""Claude on Converse: which models are Claude, whose signatures they read, how their thinking is asked for.

What Converse has no word for goes into `additionalModelRequestFields`, in the words of the model's own API.
"""

from __future__ import annotations

from typing import Any

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange, Target
from routing.engine.effort import MIN_BUDGET, budget_of, effort_of, nearest, wanted_effort
from routing.engine.messages import Effort, Opaque, Origin, Reasoning, Thinking
from routing.engine.provenance import family, is_ours

Json = dict[str, Any]

#: The API that Claude's artefacts belong to, whoever hosts the model: they survive a change of host.
ISSUER = "anthropic"
_HOSTS = frozenset({ISSUER, "bedrock-converse", "bedrock-invoke", "vertex-anthropic"})
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def is_claude(target: Target) -> bool:
    """Whether the model is Claude, by its name or, where that is the id of a profile, by how it thinks."""
    return "claude" in target.model.lower() or target.capabilities.thinking != "none"


def issued(blob: str, exchange: Exchange, place: str = "") -> Opaque:
    """Return an artefact of the target's answer with its origin."""
    origin = exchange.target.origin()
    if is_claude(exchange.target):
        origin = Origin(ISSUER, origin.provider, origin.account, origin.family)
    return Opaque(blob, origin, place)


def is_readable(reasoning: Reasoning, exchange: Exchange) -> bool:
    """Whether the target can read what proves a thought; anybody else's proof, or none, draws a refusal."""
    state, target = reasoning.state, exchange.target
    if state is None or not state.blob:
        return False
    if state.origin is None:
        # The client's own words, of Claude's API by its format.
        return exchange.request.format == ISSUER and is_claude(target) and not is_ours(state)
    formats = _HOSTS if is_claude(target) else {target.format}
    is_kin = state.origin.account == target.account or state.origin.family == family(target.model)
    return state.origin.format in formats and is_kin


def add_thinking(exchange: Exchange, inference: Json, fields: Json, *, may_think: bool, is_forced: bool) -> None:
    """Write how hard to think, and raise `maxTokens` if need be.

    `may_think`: the history shows the thinking that manual mode wants to see. `is_forced`: a tool is demanded, which
    rules thinking out.
    """
    wish, can = exchange.request.thinking, exchange.target.capabilities
    if wish is None:
        return
    wanted = wanted_effort(wish)
    if can.thinking == "none":
        _add_plain_effort(exchange, fields, wanted)
        return
    if can.thinking == "adaptive" and (effort := _named_effort(wish)):
        known = [each for each in _EFFORTS if each in can.efforts] or _EFFORTS
        fields["output_config"] = {"effort": nearest(effort, known)}
    if wanted == "none":
        if can.thinking == "adaptive" and exchange.request.format == ISSUER:
            fields["thinking"] = {"type": "disabled"}
    elif wish.mode is not None or (wanted is not None and exchange.request.format != ISSUER):
        budget = None if can.thinking == "adaptive" else _budget(exchange, inference, wish, wanted or "medium")
        if is_forced or (can.thinking == "enabled" and (not may_think or budget is None)):
            exchange.losses.dropped("thinking")
        elif budget is None:
            fields["thinking"] = {"type": "adaptive"}
        else:
            fields["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _add_plain_effort(exchange: Exchange, fields: Json, wanted: Effort | None) -> None:
    can = exchange.target.capabilities
    if can.reasoning_effort and wanted is not None:
        fields["reasoning_effort"] = nearest(wanted, can.efforts)
    elif wanted != "none" and exchange.request.thinking != Thinking():
        exchange.losses.dropped("thinking")


def _named_effort(wish: Thinking) -> Effort | None:
    effort = wish.effort
    if effort is None and wish.budget_tokens is not None and wish.mode != "disabled":
        effort = effort_of(wish.budget_tokens)
    return None if effort == "none" else effort


def _budget(exchange: Exchange, inference: Json, wish: Thinking, effort: Effort) -> int | None:
    """Return a budget below `maxTokens`, raised for it as far as the model goes; None where there is no room."""
    can = exchange.target.capabilities
    asked = wish.budget_tokens or 0
    budget = max(asked if asked > 0 else budget_of(effort, can.max_thinking), MIN_BUDGET)
    limit = inference.get("maxTokens") or _default_limit(can)
    if limit <= budget:
        total = limit + budget
        if can.max_output is not None:
            total = max(min(total, can.max_output), limit)
        budget = max(min(budget, max(total - limit, total // 2)), MIN_BUDGET)
        if budget >= total:
            return None
        if exchange.request.max_tokens is not None and total != limit:
            exchange.losses.clamped("max_tokens")
        limit = total
    inference["maxTokens"] = limit
    return budget


def _default_limit(can: Capabilities) -> int:
    return can.default_max_output if can.max_output is None else min(can.default_max_output, can.max_output)
