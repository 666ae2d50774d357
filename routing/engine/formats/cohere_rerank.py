"""Cohere v2 Rerank, spoken to upstreams: https://docs.cohere.com/reference/rerank."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.losses import Losses
from routing.engine.reranking import (
    RerankAnswer,
    RerankRequest,
    RerankUpstream,
    ScoredRow,
    known_members,
    ranked,
)
from routing.engine.wirejson import decode

_KNOWS = frozenset({"max_tokens_per_doc", "priority"})


class _Units(msgspec.Struct):
    search_units: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None


class _Answer(msgspec.Struct):
    results: list[ScoredRow]
    id: Any = None
    meta: _Meta | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class CohereRerank(RerankUpstream):
    """Cohere v2 Rerank."""

    def write_rerank(self, request: RerankRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        further = known_members(request, _KNOWS, losses)
        return {"model": request.model, "query": request.query, "documents": request.texts(), **further}

    def read_ranks(self, body: bytes) -> RerankAnswer:
        """Return what an upstream answered; see the contract."""
        answer = decode(_ANSWER, body)
        units = answer.meta.billed_units if answer.meta else None
        return RerankAnswer(
            results=ranked(answer.results),
            id=answer.id if isinstance(answer.id, str) else "",
            search_units=units.search_units if units else None,
        )
