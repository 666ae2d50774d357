"""Gemini embedContent and batchEmbedContents to and from the canonical request and answer."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.body import read_any, read_members
from routing.engine.embedding import (
    EmbeddingAnswer,
    EmbeddingClient,
    EmbeddingRequest,
    EmbeddingUpstream,
    Task,
    Vector,
    as_floats,
)
from routing.engine.errors import BadRequest
from routing.engine.format import Route
from routing.engine.formats.gemini.vocabulary import resource_name
from routing.engine.losses import Losses
from routing.engine.wirejson import decode

_encode = msgspec.json.Encoder().encode
_TASKS: dict[str, Task] = {
    "RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
    "SEMANTIC_SIMILARITY": "similarity",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
    "QUESTION_ANSWERING": "question",
    "FACT_VERIFICATION": "fact",
    "CODE_RETRIEVAL_QUERY": "code",
}
_WORDS = {task: word for word, task in _TASKS.items()}
#: Members that the JSON of Google's APIs may spell in two ways.
_SNAKE = {"taskType": "task_type", "outputDimensionality": "output_dimensionality"}


_READ = frozenset({"model", "content", "title", *_SNAKE, *_SNAKE.values()})


class _Values(msgspec.Struct):
    values: list[float]


class _Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Error(msgspec.Struct):
    message: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: _Counts | None = None
    error: _Error | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class GeminiEmbeddingCodec(EmbeddingClient, EmbeddingUpstream):
    """Gemini's embeddings, one text at a time or many."""

    spelling = {"task": "taskType", "dimensions": "outputDimensionality"}
    # https://ai.google.dev/gemini-api/docs/embeddings: a batch takes up to 100.
    max_inputs = 100

    def read_embedding(self, route: Route, body: bytes) -> EmbeddingRequest:
        """Return what a request asks for; see the contract. All requests of a batch must want the same."""
        members = read_members(body)
        if route.operation.endswith("batchEmbedContents"):
            given = read_any(members, "requests")
            if not isinstance(given, list) or not given:
                raise BadRequest("`requests` must be a list of requests that is not empty.", param="requests")
            places = [f"requests[{place}]." for place in range(len(given))]
        else:
            given, places = [{name: read_any(members, name) for name in members.values}], [""]
        requests = [_one(request, place) for request, place in zip(given, places, strict=True)]
        first = requests[0]
        for request, place in zip(requests, places, strict=True):
            if (request.task, request.dimensions) != (first.task, first.dimensions):
                raise BadRequest(
                    f"`{place}taskType` and `{place}outputDimensionality` must be those of the first request: this "
                    "model's upstream embeds a whole batch alike.",
                    param=place.rstrip("."),
                )
        titles = tuple(title for request in requests for title in request.titles)
        further = dict.fromkeys(name for request in requests for name in request.further)
        return EmbeddingRequest(
            model=route.model,
            inputs=tuple(text for request in requests for text in request.inputs),
            dimensions=first.dimensions,
            task=first.task,
            titles=titles if any(titles) else (),
            further=tuple(further),
        )

    def tell_embedding(self, route: Route, request: EmbeddingRequest, answer: EmbeddingAnswer) -> bytes:
        """Return the answer's body; see the contract."""
        rows = [{"values": as_floats(vector)} for vector in answer.vectors]
        told: dict[str, Any] = {"embedding": rows[0]}
        if route.operation.endswith("batchEmbedContents"):
            told = {"embeddings": rows}
        if answer.usage is not None:
            tokens = answer.usage.input_tokens
            told["usageMetadata"] = {"promptTokenCount": tokens, "totalTokenCount": tokens}
        return _encode(told)

    def write_embedding(self, operation: str, request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        texts = request.texts()
        if request.user:
            losses.dropped("user")
        name = resource_name(request.model)
        bodies: list[dict[str, Any]] = []
        for place, text in enumerate(texts):
            body: dict[str, Any] = {"model": name, "content": {"parts": [{"text": text}]}}
            if request.task:
                body["taskType"] = _WORDS[request.task]
            if request.titles and request.titles[place]:
                body["title"] = request.titles[place]
            if request.dimensions is not None:
                body["outputDimensionality"] = request.dimensions
            bodies.append(body)
        if operation.endswith("batchEmbedContents"):
            return {"requests": bodies}
        if len(bodies) > 1:
            raise BadRequest(f"The upstream of `{request.model}` embeds one text at a time. Send one.", param="input")
        return bodies[0]

    def read_vectors(self, operation: str, body: bytes) -> EmbeddingAnswer:
        """Return what an upstream answered; see the contract. Google AI Studio counts no tokens."""
        answer = decode(_ANSWER, body)
        if answer.error is not None:
            raise ValueError(str(answer.error.message or "the upstream reported an error"))
        rows = answer.embeddings if answer.embeddings is not None else [answer.embedding] if answer.embedding else []
        vectors: list[Vector] = [row.values for row in rows]
        counts = answer.usage_metadata
        usage = Usage(input_tokens=counts.prompt_token_count) if counts and counts.prompt_token_count else None
        return EmbeddingAnswer(vectors=vectors, usage=usage)


def _one(request: Any, place: str) -> EmbeddingRequest:
    """Return a request with one text.

    Raises:
        BadRequest: it holds something else than text, or a member of the wrong kind.
    """
    if not isinstance(request, dict):
        raise BadRequest(f"`{place.rstrip('.')}` must be an object.", param=place.rstrip("."))
    content = request.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, dict):
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise BadRequest(f"`{place}content.parts` must be a list of texts.", param=f"{place}content")
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest(
            f"`{place}content.parts` hold something else than text, which this model's upstream cannot embed.",
            param=f"{place}content.parts",
        )
    task, dimensions = _member(request, "taskType"), _member(request, "outputDimensionality")
    if dimensions is not None and type(dimensions) is not int:
        raise BadRequest(f"`{place}outputDimensionality` must be a whole number.", param=f"{place}outputDimensionality")
    if task not in {None, "TASK_TYPE_UNSPECIFIED"} and task not in _TASKS:
        raise BadRequest(f"`{place}taskType` must be one of {', '.join(_TASKS)}.", param=f"{place}taskType")
    title = request.get("title")
    return EmbeddingRequest(
        model="",
        inputs=(" ".join(str(text) for text in texts),),
        dimensions=dimensions,
        task=_TASKS.get(task or "", ""),
        titles=(title if isinstance(title, str) else "",),
        further=tuple(name for name, value in request.items() if name not in _READ and value is not None),
    )


def _member(request: dict[str, Any], name: str) -> Any:
    return request.get(name, request.get(_SNAKE[name]))
