"""What an answer used: its counts, and its web searches as Google charges them.

Source: ai.google.dev/gemini-api/docs/pricing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.formats.gemini.members import Members, camel
from routing.engine.formats.gemini.vocabulary import usage_of

_GENERATION = re.compile(r"gemini-(\d+)")
#: From this generation on each query is charged; before, a prompt is charged once however many it took.
_EACH_QUERY = 3
_QUERIES = b'"webSearchQueries"'


def queries_of(metadata: Any) -> int:
    """Return how many queries a candidate's `groundingMetadata` lists."""
    queries = camel(metadata).get("webSearchQueries") if isinstance(metadata, dict) else None
    return len(queries) if isinstance(queries, list) else 0


def queries_in(candidates: msgspec.Raw) -> dict[int | None, int]:
    """Return how many queries each of an answer's candidates lists, which are read only where there are any."""
    if _QUERIES not in bytes(candidates):
        return {}
    found = msgspec.json.decode(candidates)
    places = enumerate(found if isinstance(found, list) else ())
    return {place: queries_of(each.get("groundingMetadata")) for place, each in places if isinstance(each, dict)}


def with_searches(usage: Usage, queries: Mapping[int | None, int], model: str) -> Usage:
    """Return the usage with what is charged of the queries of all candidates."""
    asked = sum(queries.values())
    if not asked:
        return usage
    generation = _GENERATION.search(model)
    once = generation is not None and int(generation[1]) < _EACH_QUERY
    return replace(usage, web_searches=1 if once else asked)


class UsageNews:
    """The usage of an answer that comes in pieces; what was searched for belongs to it, and may come later."""

    def __init__(self, includes_cache: bool) -> None:
        self._includes_cache = includes_cache
        self._counts: Any = None
        self._queries: dict[int | None, int] = {}

    def news(self, counts: Any, candidates: Iterable[tuple[int, Members]], model: str) -> Usage | None:
        """Return the usage when a piece changed it."""
        before = self._counts, self._queries
        if isinstance(counts, dict):
            self._counts = counts
        for index, each in candidates:
            if "groundingMetadata" in each:
                self._queries = self._queries | {index: queries_of(each["groundingMetadata"])}
        if self._counts is None or before == (self._counts, self._queries):
            return None
        return with_searches(usage_of(camel(self._counts), includes_cache=self._includes_cache), self._queries, model)
