"""Cohere v2 Embed, spoken to upstreams: https://docs.cohere.com/reference/embed."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.embedding import EmbeddingAnswer, EmbeddingRequest, EmbeddingUpstream, Task, Vector
from routing.engine.losses import Losses
from routing.engine.wirejson import decode

#: The API demands a word. Who embeds without saying what for embeds documents.
_INPUT_TYPES: dict[Task, str] = {
    "": "search_document",
    "document": "search_document",
    "query": "search_query",
    "classification": "classification",
    "clustering": "clustering",
}
#: Tasks it has no word for → the nearest.
_NEAREST: dict[Task, str] = {
    "similarity": "clustering",
    "question": "search_query",
    "fact": "search_query",
    "code": "search_query",
}


class _Vectors(msgspec.Struct):
    floats: list[list[float]] = msgspec.field(name="float")


class _Units(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class CohereEmbed(EmbeddingUpstream):
    """Cohere v2 Embed."""

    max_inputs = 96

    def write_embedding(self, operation: str, request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        word = _INPUT_TYPES.get(request.task)
        if word is None:
            word = _NEAREST[request.task]
            losses.emulated("task")
        if request.titles:
            losses.dropped("title")
        if request.user:
            losses.dropped("user")
        body: dict[str, Any] = {
            "model": request.model,
            "texts": request.texts(),
            "input_type": word,
            "embedding_types": ["float"],
        }
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        return body

    def read_vectors(self, operation: str, body: bytes) -> EmbeddingAnswer:
        """Return what an upstream answered; see the contract."""
        answer = decode(_ANSWER, body)
        units = answer.meta.billed_units if answer.meta else None
        usage = Usage(input_tokens=int(units.input_tokens)) if units and units.input_tokens else None
        vectors: list[Vector] = list(answer.embeddings.floats)
        return EmbeddingAnswer(vectors=vectors, usage=usage)
