"""Operations that ask the same thing in different formats: a provider that offers one of a kind can serve them all."""

from __future__ import annotations

#: Formats in which one converses with a model, and counts the tokens of it.
CONVERSATIONS = frozenset(
    {
        *("anthropic", "gemini", "openai-chat", "openai-responses"),
        *("bedrock-converse", "bedrock-invoke", "cohere", "ollama", "vertex-anthropic"),
    }
)
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
