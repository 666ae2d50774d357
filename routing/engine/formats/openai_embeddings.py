"""OpenAI Embeddings: passed as they are, and converted where the upstream embeds in another format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from routing.engine.body import read_any, read_members, read_model, refuse_other_kinds
from routing.engine.embedding import (
    EmbeddingAnswer,
    EmbeddingClient,
    EmbeddingRequest,
    EmbeddingUpstream,
    Task,
    Vector,
    as_base64,
    as_floats,
    from_base64,
)
from routing.engine.errors import BadRequest
from routing.engine.format import Answer, Asked, Route
from routing.engine.losses import Losses
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of, text_of
from routing.engine.wirejson import decode

_PATH = "/v1/embeddings"
_encode = msgspec.json.Encoder().encode
#: How the first vector of an answer begins.
_VECTOR = re.compile(rb'"embedding"\s*:\s*(["\[])')
#: Words for the task that compatible servers take beside the official members.
_TASKS: dict[str, Task] = {
    "query": "query",
    "search_query": "query",
    "retrieval.query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
    "retrieval.passage": "document",
    "classification": "classification",
    "clustering": "clustering",
    "separation": "clustering",
    "text-matching": "similarity",
}
_READ = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
#: Where they say it.
_TASK_MEMBERS = ("input_type", "task")


class _Embeddings(AnswerFacts):
    data: list[msgspec.Raw] | None = None


class _Row(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Rows(AnswerFacts):
    data: list[_Row] = []


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
_ROWS = msgspec.json.Decoder(_Rows)


class OpenAIEmbeddings(OpenAIShaped):
    """OpenAI Embeddings."""

    name = "openai-embeddings"
    paths = {_PATH: "openai-embeddings"}
    has_output = False

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("input",), _PATH)
        return Asked(read_model(members), members=members)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        embeddings = decode(_EMBEDDINGS, body)
        answer = answer_of(embeddings)
        if embeddings.data is None:
            raise ValueError("the answer has no data")
        return answer

    def mend_answer(self, asked: Asked, body: bytes) -> bytes:
        """Return the answer in the asked encoding, which some compatible servers do not know."""
        wants_base64 = read_any(asked.members, "encoding_format") == "base64"
        vector = _VECTOR.search(body)
        if vector is None or (vector[1] == b'"') == wants_base64:
            return body
        answer: dict[str, Any] = msgspec.json.decode(body)
        for row in answer["data"]:
            row["embedding"] = _told(_vector(msgspec.convert(row, _Row).embedding), wants_base64)
        return _encode(answer)


class OpenAIEmbeddingCodec(EmbeddingClient, EmbeddingUpstream):
    """OpenAI Embeddings to and from the canonical request and answer."""

    def read_embedding(self, route: Route, body: bytes) -> EmbeddingRequest:
        """Return what a request asks for; see the contract."""
        members = read_members(body)
        dimensions, encoding = read_any(members, "dimensions"), read_any(members, "encoding_format")
        if dimensions is not None and (not isinstance(dimensions, int) or isinstance(dimensions, bool)):
            raise BadRequest("`dimensions` must be a whole number.", param="dimensions")
        if encoding not in {None, "float", "base64"}:
            raise BadRequest("`encoding_format` must be `float` or `base64`.", param="encoding_format")
        words = {name: text_of(read_any(members, name)) for name in _TASK_MEMBERS}
        understood = {name: _TASKS[word] for name, word in words.items() if word in _TASKS}
        read = _READ | understood.keys()
        return EmbeddingRequest(
            model=read_model(members),
            inputs=_inputs(read_any(members, "input")),
            dimensions=dimensions,
            task=next(iter(understood.values()), ""),
            user=text_of(read_any(members, "user")),
            wants_base64=encoding == "base64",
            further=tuple(each for each in members.values if each not in read and read_any(members, each) is not None),
        )

    def tell_embedding(self, route: Route, request: EmbeddingRequest, answer: EmbeddingAnswer) -> bytes:
        """Return the answer's body; see the contract."""
        rows = [
            {"object": "embedding", "index": index, "embedding": _told(vector, request.wants_base64)}
            for index, vector in enumerate(answer.vectors)
        ]
        tokens = answer.usage.input_tokens if answer.usage else 0
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _encode({"object": "list", "data": rows, "model": request.model, "usage": usage})

    def write_embedding(self, operation: str, request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream; see the contract."""
        if request.task:
            losses.dropped("task")
        if request.titles:
            losses.dropped("title")
        # The plainest spelling: some compatible servers know neither base64 nor a list of one.
        only = request.inputs[0] if len(request.inputs) == 1 and isinstance(request.inputs[0], str) else None
        body: dict[str, Any] = {"model": request.model, "input": request.inputs if only is None else only}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.user:
            body["user"] = request.user
        return body

    def read_vectors(self, operation: str, body: bytes) -> EmbeddingAnswer:
        """Return what an upstream answered; see the contract."""
        rows = decode(_ROWS, body)
        facts = answer_of(rows)
        if all(row.index is not None for row in rows.data):
            rows.data.sort(key=lambda row: row.index or 0)
        return EmbeddingAnswer(
            vectors=[_vector(row.embedding) for row in rows.data], usage=facts.usage, model=facts.model
        )


def _inputs(given: Any) -> tuple[str | tuple[int, ...], ...]:
    """Return one input for a string, one for a list of token ids, or as many as a list of those has.

    Raises:
        BadRequest: it is something else, or empty.
    """
    if isinstance(given, str) or (_is_tokens(given) and given):
        return (given if isinstance(given, str) else tuple(given),)
    if not isinstance(given, list) or not given:
        raise BadRequest("`input` must be a text, or a list of texts or of token ids that is not empty.", param="input")
    for place, one in enumerate(given):
        if not isinstance(one, str) and not (_is_tokens(one) and one):
            raise BadRequest(f"`input[{place}]` must be a text or a list of token ids.", param=f"input[{place}]")
    return tuple(one if isinstance(one, str) else tuple(one) for one in given)


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and all(type(token) is int for token in given)


def _vector(embedding: str | list[float]) -> Vector:
    return from_base64(embedding) if isinstance(embedding, str) else embedding


def _told(vector: Vector, wants_base64: bool) -> str | list[float]:
    return as_base64(vector) if wants_base64 else as_floats(vector)
