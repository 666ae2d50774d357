"""Alibaba Bailian's text-rerank, spoken to upstreams: https://help.aliyun.com/zh/model-studio/text-rerank-api."""

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
)
from routing.engine.wirejson import decode

_KNOWS = frozenset({"instruct"})


class _Output(msgspec.Struct):
    results: list[ScoredRow]


class _Counts(msgspec.Struct):
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    output: _Output
    request_id: Any = None
    usage: _Counts | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class BailianRerank(RerankUpstream):
    """Bailian's text-rerank."""

    def write_rerank(self, request: RerankRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        further = known_members(request, _KNOWS, losses)
        return {
            "model": request.model,
            "input": {"query": request.query, "documents": request.texts()},
            "parameters": {"return_documents": False, **further},
        }

    def read_ranks(self, body: bytes) -> RerankAnswer:
        """Return what an upstream answered; see the contract."""
        answer = decode(_ANSWER, body)
        tokens = answer.usage.total_tokens if answer.usage else None
        return RerankAnswer(
            results=ranked(answer.output.results),
            id=answer.request_id if isinstance(answer.request_id, str) else "",
            usage=Usage(input_tokens=tokens) if tokens else None,
        )
