"""Echo in Cohere's and Jina's rerank: the more words of the query a document has, the better."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import tokens_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Wire, new_id

_Documents = Annotated[list[str | dict[str, Any]], Meta(min_length=1, max_length=1000)]


class _Body(Struct):
    query: str
    documents: _Documents
    top_n: Annotated[int, Meta(ge=0)] | None = None
    return_documents: bool | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> bytes:
    """Answer the documents' order."""
    body = _decode(request.body)
    wanted = set(body.query.lower().split())
    texts = [document if isinstance(document, str) else str(document.get("text")) for document in body.documents]
    results: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        share = len(wanted & set(text.lower().split())) / max(1, len(wanted))
        results.append({"index": index, "relevance_score": round(share, 4)})
        if body.return_documents:
            results[-1]["document"] = {"text": text}
    results.sort(key=lambda result: -result["relevance_score"])
    tokens = sum(tokens_of(text) for text in texts)
    return encode(
        {
            "id": new_id(""),
            "model": request.model,
            "results": results[: body.top_n or None],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


OPERATIONS = {"cohere-rerank": Wire(answer, error), "jina-rerank": Wire(answer, error)}
