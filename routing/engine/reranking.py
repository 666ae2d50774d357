"""Reranking in every format: the canonical request and answer, and the contract of those who read and write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.errors import BadRequest
from routing.engine.losses import Losses


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Documents to order by what they have to do with a query."""

    model: str
    query: str
    #: Texts, or objects as the client sent them: `{text}`, and what only some upstreams can read.
    documents: tuple[str | dict[str, Any], ...]
    top_n: int | None = None
    return_documents: bool = False
    #: Members that only some upstreams know, by their own names.
    native: dict[str, Any] = {}

    def texts(self) -> list[str]:
        """Return the documents for an upstream that takes nothing but text.

        Raises:
            BadRequest: one holds no text.
        """
        texts = [text_of_document(document) for document in self.documents]
        if None in texts:
            place = texts.index(None)
            raise BadRequest(
                f"`documents[{place}]` has no `text`, and the upstream of `{self.model}` orders text only.",
                param=f"documents[{place}]",
            )
        return [text for text in texts if text is not None]


class Ranked(msgspec.Struct, frozen=True):
    """One document's place among those that were sent, and its score."""

    index: int
    score: float


class RerankAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The scores, in any order; an upstream may have left some documents out."""

    results: Sequence[Ranked]
    id: str = ""
    usage: Usage | None = None
    #: What the upstream bills, where it counts searches and not tokens.
    search_units: float | None = None


class RerankClient(ABC):
    """A format in which clients ask for an order."""

    @abstractmethod
    def read_rerank(self, body: bytes) -> RerankRequest:
        """Return what a request asks for.

        Raises:
            BadRequest: it is not of the format's shape.
        """

    @abstractmethod
    def tell_rerank(self, request: RerankRequest, answer: RerankAnswer) -> bytes:
        """Return the answer's body: by falling score, original indexes, `top_n` of them at most."""


class RerankUpstream(ABC):
    """A format in which upstreams are asked for an order. Documents are never asked back: the client's are at hand."""

    @abstractmethod
    def write_rerank(self, request: RerankRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream that calls the model `request.model`.

        Raises:
            BadRequest: it has no place for what is asked.
        """

    @abstractmethod
    def read_ranks(self, body: bytes) -> RerankAnswer:
        """Return what an upstream answered.

        Raises:
            ValueError: it is not what the format promises.
        """


class ScoredRow(msgspec.Struct):
    """One result, in either spelling of its score."""

    index: int
    relevance_score: float | None = None
    score: float | None = None


def ranked(rows: Iterable[ScoredRow]) -> list[Ranked]:
    """Return the results that an upstream listed.

    Raises:
        ValueError: one has no score.
    """
    found = []
    for row in rows:
        score = row.relevance_score if row.relevance_score is not None else row.score
        if score is None:
            raise ValueError(f"document {row.index} has no score")
        found.append(Ranked(row.index, score))
    return found


def text_of_document(document: str | dict[str, Any]) -> str | None:
    """Return a document's text, None where it has none."""
    text = document if isinstance(document, str) else document.get("text")
    return text if isinstance(text, str) else None


def known_members(request: RerankRequest, knows: frozenset[str], losses: Losses) -> dict[str, Any]:
    """Return the client's further members that an upstream knows, and note the others as lost."""
    for name in request.native:
        if name not in knows:
            losses.dropped(name)
    return {name: value for name, value in request.native.items() if name in knows}
