"""Log probabilities: `logprobsResult`, there and back."""

from __future__ import annotations

from typing import Any

from routing.engine.formats.gemini.members import Members, camel


def decode_logprobs(result: Any) -> list[Members]:
    """Return the tokens of a `logprobsResult` in the conversation's own shape."""
    if not isinstance(result, dict):
        return []
    result = camel(result)
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    tops = top if isinstance(top, list) else []
    tokens = []
    for place, each in enumerate(chosen if isinstance(chosen, list) else ()):
        if (token := _token(each)) is None:
            continue
        others = tops[place] if place < len(tops) else None
        candidates = others.get("candidates") if isinstance(others, dict) else None
        found = map(_token, candidates) if isinstance(candidates, list) else ()
        tokens.append({**token, "top_logprobs": [other for other in found if other is not None]})
    return tokens


def _token(value: Any) -> Members | None:
    if not isinstance(value, dict):
        return None
    value = camel(value)
    token, logprob = value.get("token"), value.get("logProbability")
    if not isinstance(token, str):
        return None
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {"token": token, "logprob": logprob if is_number else 0.0, "bytes": list(token.encode("utf-8", "replace"))}


def encode_logprobs(tokens: list[Any]) -> Members:
    """Return the `logprobsResult` of an answer's tokens."""
    return {
        "chosenCandidates": [_candidate(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_candidate(other) for other in token.get("top_logprobs") or ()]} for token in tokens
        ],
    }


def _candidate(token: Members) -> Members:
    return {"token": token.get("token") or "", "logProbability": token.get("logprob") or 0.0}
