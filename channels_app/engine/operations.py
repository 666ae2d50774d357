"""Operations that ask the same thing in different formats: a provider that offers one of a kind can serve them all."""

from __future__ import annotations

from channels_app.engine.provider import Provider

#: Formats in which one converses with a model, and counts the tokens of it.
CONVERSATIONS = frozenset({"anthropic", "gemini", "openai-chat", "openai-responses"})
#: What clients and upstreams may ask with, in every format that is converted into the others.
EMBEDDINGS = ("openai-embeddings", "gemini:batchEmbedContents", "gemini:embedContent", "cohere-embed", "ollama-embed")
RERANKING = ("rerank", "cohere-rerank", "jina-rerank", "tei-rerank", "bailian-rerank")
KINDS = (EMBEDDINGS, RERANKING)


def is_conversation(operation: str) -> bool:
    """Whether an operation belongs to a conversation; a channel's `format` is about those."""
    return operation.partition(":")[0] in CONVERSATIONS and operation not in EMBEDDINGS


def alternatives(operation: str) -> tuple[str, ...]:
    """Return the operations of the same kind, in the order of preference, the operation itself first."""
    kind = next((kind for kind in KINDS if operation in kind), ())
    return (operation, *(other for other in kind if other != operation))


def operation_at(provider: Provider, operation: str, only_format: str = "") -> str:
    """Return what a provider is asked in place of an operation: itself where it is offered; "" when nothing fits.

    `only_format` narrows the choice when it is a format of this kind: a channel that is told which format to speak in
    conversations still embeds in its provider's own.
    """
    offered = [other for other in alternatives(operation) if provider.offers(other)]
    narrowed = [other for other in offered if other.partition(":")[0] == only_format]
    return next(iter(narrowed or offered), "")
