"""How an answer ended: the format's stop reasons and ours, both ways."""

from __future__ import annotations

import re
from typing import Any

from routing.engine.codec import Exchange
from routing.engine.formats.anthropic.vocabulary import NAME
from routing.engine.messages import Finish

_WINDOW = "model_context_window_exceeded"
_READ = {
    "end_turn": Finish("stop"),
    "tool_use": Finish("stop"),
    "max_tokens": Finish("length"),
    _WINDOW: Finish("length", detail=_WINDOW),
    "pause_turn": Finish("pause"),
}
#: A refusal's categories; another word is not one that clients know.
_CATEGORIES = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})
#: What is said where an answer was withheld and nobody said why.
REFUSED = "The model refused to answer."
#: A reason that is not known here and may well be a new one; anything else is damage.
_WORD = re.compile(r"[a-z][a-z0-9_]{0,59}")


def finish_of(reason: Any, sequence: Any, details: Any, *, has_calls: bool) -> Finish:
    """Return why an upstream's answer ended. A call of a client's tool outranks all but a limit and a refusal."""
    if reason == "refusal":
        said = details if isinstance(details, dict) else {}
        return Finish("filter", message=_text(said.get("explanation")), detail=_text(said.get("category")))
    known = _READ.get(reason) if isinstance(reason, str) else Finish("stop")
    if known is not None and known.reason == "length":
        return known
    if has_calls:
        return Finish("tool_calls")
    if reason == "stop_sequence":
        return Finish("stop_sequence", _text(sequence))
    return known or Finish("other", detail=_text(reason))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def stop_object(finish: Finish, exchange: Exchange, *, has_calls: bool, is_refusal: bool) -> dict[str, Any]:
    """Return `stop_reason` and what goes with it, as a client reads them."""
    stop: dict[str, Any] = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    is_own = exchange.target.format == NAME
    if finish.reason == "filter" or is_refusal:
        category = finish.detail if is_own and finish.detail in _CATEGORIES else None
        stop["stop_reason"] = "refusal"
        stop["stop_details"] = {"type": "refusal", "category": category, "explanation": finish.message or None}
    elif finish.reason == "length":
        stop["stop_reason"] = _WINDOW if is_own and finish.detail == _WINDOW else "max_tokens"
    elif has_calls:
        stop["stop_reason"] = "tool_use"
    elif finish.reason == "stop_sequence":
        asked = exchange.request.stop
        # Some upstreams do not say which it was; where there is one only, it is clear.
        sequence = finish.sequence or (asked[0] if len(asked) == 1 else None)
        stop["stop_reason"], stop["stop_sequence"] = "stop_sequence", sequence
    elif finish.reason == "pause":
        stop["stop_reason"] = "pause_turn"
    elif finish.reason == "other" and is_own and _WORD.fullmatch(finish.detail):
        stop["stop_reason"] = finish.detail
    return stop


def said_instead(finish: Finish) -> str:
    """Return the text of an answer that has no content, "" where it needs none."""
    if finish.reason == "filter":
        return finish.message or REFUSED
    return finish.message if finish.reason == "other" else ""
