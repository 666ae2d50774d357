"""Rerank of Text Embeddings Inference, spoken to upstreams: https://huggingface.github.io/text-embeddings-inference/."""

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

_KNOWS = frozenset({"truncate", "truncation_direction", "raw_scores"})
_ROWS = msgspec.json.Decoder(list[ScoredRow])


class TEIRerank(RerankUpstream):
    """A server of one model: it is asked for none, and answers with a bare list."""

    def write_rerank(self, request: RerankRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        further = known_members(request, _KNOWS, losses)
        return {"query": request.query, "texts": request.texts(), "raw_scores": False, **further}

    def read_ranks(self, body: bytes) -> RerankAnswer:
        """Return what an upstream answered; see the contract."""
        rows = decode(_ROWS, body)
        return RerankAnswer(results=ranked(rows))
