"""Ollama's /api/embed, spoken to upstreams: https://docs.ollama.com/api/embed."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.embedding import EmbeddingAnswer, EmbeddingRequest, EmbeddingUpstream, Vector
from routing.engine.losses import Losses
from routing.engine.wirejson import decode


class _Answer(msgspec.Struct):
    embeddings: list[list[float]]
    prompt_eval_count: int | None = None
    model: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


class OllamaEmbed(EmbeddingUpstream):
    """Ollama's embeddings."""

    def write_embedding(self, operation: str, request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        for name, given in (("task", request.task), ("title", request.titles), ("user", request.user)):
            if given:
                losses.dropped(name)
        body: dict[str, Any] = {"model": request.model, "input": request.texts()}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        return body

    def read_vectors(self, operation: str, body: bytes) -> EmbeddingAnswer:
        """Return what an upstream answered; see the contract."""
        answer = decode(_ANSWER, body)
        usage = Usage(input_tokens=answer.prompt_eval_count) if answer.prompt_eval_count else None
        vectors: list[Vector] = list(answer.embeddings)
        return EmbeddingAnswer(
            vectors=vectors, usage=usage, model=answer.model if isinstance(answer.model, str) else ""
        )
