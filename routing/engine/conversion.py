"""One request for embeddings or an order of documents, asked in another format, and its answer told in the client's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from channels_app.engine.operations import EMBEDDINGS as EMBEDDING_OPERATIONS
from routing.engine.call import Call
from routing.engine.embedding import EmbeddingClient, estimated_tokens
from routing.engine.errors import BadRequest
from routing.engine.estimate import input_tokens
from routing.engine.format import Answer
from routing.engine.formats import EMBEDDINGS, RERANKS
from routing.engine.losses import Losses, lossy
from routing.engine.reranking import RerankClient, RerankUpstream, text_of_document
from routing.engine.wirejson import decode

_encode = msgspec.json.Encoder().encode
_ANYTHING = msgspec.json.Decoder(Any)


@dataclass(slots=True)
class Conversion:
    """What is sent in place of the client's body, and how its answers are read."""

    body: bytes
    losses: Losses
    #: Return the client's body of an upstream's answer, and its facts; raises ValueError for one that is none.
    read: Callable[[bytes], tuple[bytes, Answer]] = field(repr=False)


def convert(call: Call, operation: str, model: str) -> Conversion:
    """Return a call's request rewritten for an upstream's operation and model.

    Raises:
        BadRequest: it is not of its format's shape, or asks for what the upstream has no place for.
    """
    make = _embedding if call.route.operation in EMBEDDING_OPERATIONS else _reranking
    conversion = make(call, operation, model)
    if conversion.losses.drops and call.is_strict:
        raise lossy(f"`{model}` is served over {operation.partition(':')[0]}", conversion.losses.drops)
    return conversion


def _embedding(call: Call, operation: str, model: str) -> Conversion:
    known, route = call.format, call.route
    client, upstream = EMBEDDINGS[known.name], EMBEDDINGS[operation.partition(":")[0]]
    assert isinstance(client, EmbeddingClient)
    asked = client.read_embedding(route, call.body)
    count = len(asked.inputs)
    if upstream.max_inputs and count > upstream.max_inputs:
        raise BadRequest(
            f"The request has {count} texts; the upstream of `{asked.model}` takes {upstream.max_inputs} at once.",
            param="input",
        )
    losses = Losses(client.spelling)
    for name in asked.further:
        losses.dropped(name)
    written = upstream.write_embedding(operation, replace(asked, model=model), losses)

    def read(answered: bytes) -> tuple[bytes, Answer]:
        answer = upstream.read_vectors(operation, answered)
        if len(answer.vectors) != count:
            raise ValueError(f"it has {len(answer.vectors)} vectors for {count} texts")
        if answer.usage is None:
            answer = replace(answer, usage=Usage(input_tokens=estimated_tokens(asked.inputs), is_estimated=True))
        return client.tell_embedding(route, asked, answer), Answer(answer.usage, answer.model)

    return Conversion(_encode(written), losses, read)


def _reranking(call: Call, operation: str, model: str) -> Conversion:
    client, upstream = RERANKS[call.format.name], RERANKS[operation]
    assert isinstance(client, RerankClient) and isinstance(upstream, RerankUpstream)
    asked = client.read_rerank(call.body)
    losses = Losses()
    written = upstream.write_rerank(replace(asked, model=model), losses)

    def read(answered: bytes) -> tuple[bytes, Answer]:
        answer = upstream.read_ranks(answered)
        places = [ranked.index for ranked in answer.results]
        if len(set(places)) != len(places) or not all(0 <= place < len(asked.documents) for place in places):
            raise ValueError("its results are not about the documents")
        if answer.usage is None:
            texts = [text_of_document(document) or "" for document in asked.documents]
            # Each document is read together with the query.
            tokens = estimated_tokens(texts) + estimated_tokens([asked.query]) * len(texts)
            answer = replace(answer, usage=Usage(input_tokens=tokens, is_estimated=True))
        return client.tell_rerank(asked, answer), Answer(answer.usage)

    return Conversion(_encode(written), losses, read)


def embedded_tokens(call: Call) -> int:
    """Return about how many tokens a request for embeddings has: of its inputs, or of its body if they are no text."""
    client = EMBEDDINGS[call.format.name]
    assert isinstance(client, EmbeddingClient)
    try:
        return estimated_tokens(client.read_embedding(call.route, call.body).inputs)
    except BadRequest:
        return input_tokens(call)


def said_in(body: bytes) -> tuple[str, str]:
    """Return the text and the code of an error body in any format, empty where it says neither."""
    try:
        said = decode(_ANYTHING, body)
    except (ValueError, RecursionError):
        return "", ""
    if isinstance(said, list) and said:  # one of Google's ways
        said = said[0]
    code = said.get("code") if isinstance(said, dict) else None
    for name in ("error", "message", "detail"):
        if not isinstance(said, dict):
            break
        inner = said.get(name)
        if isinstance(inner, dict) and name == "error":
            return _text(inner.get("message")), _text(inner.get("code")) or _text(inner.get("type"))
        if inner:
            return inner if isinstance(inner, str) else _encode(inner).decode(), _text(code)
    return "", ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
