"""Jina's rerank, which vLLM, Xinference, LocalAI and others have too, spoken to upstreams: https://jina.ai/reranker."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.losses import Losses
from routing.engine.reranking import (
    RerankAnswer,
    RerankRequest,
    RerankUpstream,
    ScoredRow,
    known_members,
    ranked,
    text_of_document,
)
from routing.engine.wirejson import decode

_KNOWS = frozenset(
    {"truncation", "max_doc_length", "return_embeddings", "truncate_prompt_tokens", "max_tokens_per_doc", "user"}
)


class _Counts(msgspec.Struct):
    total_tokens: int | None = None
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    results: list[ScoredRow]
    id: Any = None
    usage: _Counts | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class JinaRerank(RerankUpstream):
    """Jina's rerank and its likes. Documents may be pictures where the model takes them."""

    def write_rerank(self, request: RerankRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        documents = [text_of_document(document) or document for document in request.documents]
        further = known_members(request, _KNOWS, losses)
        return {
            "model": request.model,
            "query": request.query,
            "documents": documents,
            "return_documents": False,
            **further,
        }

    def read_ranks(self, body: bytes) -> RerankAnswer:
        """Return what an upstream answered; see the contract."""
        answer = decode(_ANSWER, body)
        tokens = (answer.usage.total_tokens or answer.usage.prompt_tokens) if answer.usage else None
        return RerankAnswer(
            results=ranked(answer.results),
            id=answer.id if isinstance(answer.id, str) else "",
            usage=Usage(input_tokens=tokens) if tokens else None,
        )
