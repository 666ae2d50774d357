"""Rerank as Cohere and Jina have it: what clients speak, converted for every upstream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from routing.engine.body import Members, read_any, read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.errors import BadRequest
from routing.engine.format import Answer, Asked, Route
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of
from routing.engine.reranking import RerankAnswer, RerankClient, RerankRequest, ScoredRow
from routing.engine.wirejson import decode

_PATH = "/v1/rerank"
_encode = msgspec.json.Encoder().encode
_OWN = frozenset({"model", "query", "documents", "top_n", "return_documents"})


class _Ranking(AnswerFacts):
    results: list[ScoredRow] | None = None


_RANKING = msgspec.json.Decoder(_Ranking)


class Rerank(OpenAIShaped, RerankClient):
    """Cohere's and Jina's rerank, with errors as the rest of /v1 has them."""

    name = "rerank"
    paths = {_PATH: "rerank", "/v2/rerank": "rerank", "/rerank": "rerank"}
    has_output = False

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("query", "documents"), _PATH)
        return Asked(read_model(members), members=members)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        ranking = decode(_RANKING, body)
        answer = answer_of(ranking)
        if ranking.results is None:
            raise ValueError("the answer has no results")
        return answer

    def read_rerank(self, body: bytes) -> RerankRequest:
        """Return what a request asks for; see the contract."""
        members = read_members(body)
        query = read_any(members, "query")
        if not isinstance(query, str):
            raise BadRequest("`query` must be a text.", param="query")
        native = {name: read_any(members, name) for name in members.values if name not in _OWN}
        return RerankRequest(
            model=read_model(members),
            query=query,
            documents=_documents(members),
            top_n=_top_n(members),
            return_documents=read_flag(members, "return_documents"),
            native={name: value for name, value in native.items() if value is not None},
        )

    def tell_rerank(self, request: RerankRequest, answer: RerankAnswer) -> bytes:
        """Return the answer's body; see the contract."""
        results = []
        for ranked in sorted(answer.results, key=lambda ranked: (-ranked.score, ranked.index))[: request.top_n]:
            result: dict[str, Any] = {"index": ranked.index, "relevance_score": ranked.score}
            if request.return_documents:
                document = request.documents[ranked.index]
                result["document"] = {"text": document} if isinstance(document, str) else document
            results.append(result)
        tokens = answer.usage.input_tokens if answer.usage else 0
        units = {"input_tokens": tokens} if answer.search_units is None else {"search_units": answer.search_units}
        told = {
            "id": answer.id or uuid4().hex,
            "model": request.model,
            "results": results,
            "meta": {"billed_units": units},
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return _encode(told)


def _documents(members: Members) -> tuple[str | dict[str, Any], ...]:
    given = read_any(members, "documents")
    if not isinstance(given, list) or not given:
        raise BadRequest("`documents` must be a list that is not empty, of texts or `{text}`.", param="documents")
    for place, document in enumerate(given):
        if not isinstance(document, str | dict):
            raise BadRequest(f"`documents[{place}]` must be a text or `{{text}}`.", param=f"documents[{place}]")
    return tuple(given)


def _top_n(members: Members) -> int | None:
    """Return how many results are wanted; None and 0, which some servers have for a default, mean all."""
    top_n = read_any(members, "top_n")
    if top_n is not None and (type(top_n) is not int or top_n < 0):
        raise BadRequest("`top_n` must be a whole number, 1 or more.", param="top_n")
    return top_n or None
