"""A stored decision in the words of a page: how the model's name was read, each rule, each channel, each limit."""

from __future__ import annotations

from typing import Any

from routex_site.console.rows import duration_text
from tenants.engine.quota import amount_text

#: How the model's name was read → the sentence that says so.
_READ = {
    "name": "`{asked}` is the public name of a model.",
    "alias": "`{asked}` is an alias of `{model}`.",
    "channel": "`{asked}` names its channel.",
    "pinned": "The request named its channel.",
}


def decision_view(decision: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the page of a request shows of its decision; None when nothing was decided."""
    if not decision or not decision.keys() - {"asked_model"}:
        return None
    return {
        "sentence": _sentence(decision),
        "rules": [_rule(trace) for trace in decision.get("rules", ())],
        "candidates": [_candidate(trace) for trace in decision.get("candidates", ())],
        "spends": [_spend(trace) for trace in decision.get("spends", ())],
    }


def _sentence(decision: dict[str, Any]) -> str:
    asked, model = decision.get("asked_model", ""), decision.get("model", "")
    parts = []
    if rule := decision.get("rule"):
        parts.append(f"Rule `{rule}` sent `{asked}` to `{model or asked}`.")
    elif how := _READ.get(decision.get("by", "")):
        parts.append(how.format(asked=asked, model=model))
    if strategy := decision.get("strategy"):
        parts.append(f"Channels were ordered by `{strategy}`.")
    if stickiness := decision.get("stickiness"):
        parts.append(f"Session: {stickiness.replace(':', ', ').replace('_', ' ')}.")
    if tokens := decision.get("input_tokens"):
        parts.append(f"The input was reckoned as {tokens} tokens ({decision.get('counted_by') or 'estimate'}).")
    if decision.get("too_long"):
        parts.append("The rest was too long to keep.")
    return " ".join(parts)


def _rule(trace: dict[str, Any]) -> dict[str, Any]:
    if not trace.get("is_match"):
        word, tone = "no", "muted"
    elif trace.get("skipped"):
        word, tone = "yes, skipped", "warn"
    else:
        word, tone = "yes", "ok"
    found = trace.get("skipped") or trace.get("measured", "")
    if passed_over := trace.get("passed_over"):
        found = "; ".join(filter(None, (found, f"some of its targets cannot serve: {passed_over}")))
    return {"rule": trace["rule"], "found": found, "word": word, "tone": tone}


def _candidate(trace: dict[str, Any]) -> dict[str, Any]:
    why = trace.get("dropped") or trace.get("number", "")
    return {
        "channel": trace["channel"],
        "model": trace.get("model", ""),
        "place": "left out" if trace.get("dropped") else str(trace.get("rank", "")),
        "tone": "muted" if trace.get("dropped") else "ok",
        "why": why,
    }


def _spend(trace: dict[str, Any]) -> dict[str, Any]:
    waited_ms = trace.get("waited_ms", 0.0)
    passed = f"passed after {duration_text(waited_ms)}" if waited_ms else "passed"
    asked = trace.get("asked", 0)
    return {
        "name": trace["name"],
        "asked": amount_text("usd", asked) if trace.get("unit") == "nano_usd" else f"{asked:,}",
        "left": trace.get("left"),
        "result": trace.get("refused") or passed,
    }
