"""Log probabilities of an upstream, each of the shape that every reader of them expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def read_logprobs(tokens: Any) -> list[Any]:
    """Return the tokens that an upstream lists; entries that name no token, or no number, are passed over."""
    return [{**entry, "top_logprobs": list(_entries(top))} for entry, top in _with_top(tokens)]


def _with_top(tokens: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    for token in tokens if isinstance(tokens, list) else ():
        for entry in _entries([token]):
            yield entry, token.get("top_logprobs")


def _entries(tokens: Any) -> Iterator[dict[str, Any]]:
    for token in tokens if isinstance(tokens, list) else ():
        if not isinstance(token, dict):
            continue
        text, logprob, spelled = token.get("token"), token.get("logprob"), token.get("bytes")
        if isinstance(text, str) and type(logprob) in {int, float}:
            is_spelled = isinstance(spelled, list) and all(type(each) is int and 0 <= each < 256 for each in spelled)
            yield {"token": text, "logprob": logprob, "bytes": spelled if is_spelled else None}
