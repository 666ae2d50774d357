"""FORMATS: one line per format that clients speak. CODECS, EMBEDDINGS, RERANKS: one per format that is translated."""

from channels_app.engine.registry import Registry
from routing.engine.codec import ClientCodec, UpstreamCodec
from routing.engine.embedding import EmbeddingUpstream
from routing.engine.format import Format
from routing.engine.reranking import RerankClient, RerankUpstream

FORMATS: Registry[Format] = Registry(
    "routex.formats",
    __name__,
    {
        "anthropic": ".anthropic:Anthropic",
        "gemini": ".gemini:Gemini",
        "openai-chat": ".openai_chat:OpenAIChat",
        "openai-completions": ".openai_completions:OpenAICompletions",
        "openai-embeddings": ".openai_embeddings:OpenAIEmbeddings",
        "openai-images": ".openai_images:OpenAIImages",
        "openai-moderations": ".openai_moderations:OpenAIModerations",
        "openai-responses": ".openai_responses:OpenAIResponses",
        "openai-speech": ".openai_speech:OpenAISpeech",
        "openai-transcription": ".openai_transcription:OpenAITranscription",
        "rerank": ".rerank:Rerank",
    },
)

#: How formats are translated. Those that clients speak are ClientCodecs as well; the others are upstream dialects.
CODECS: Registry[UpstreamCodec] = Registry(
    "routex.codecs",
    __name__,
    {
        "anthropic": ".anthropic.codec:AnthropicCodec",
        "bedrock-converse": ".bedrock_converse.codec:BedrockConverseCodec",
        "bedrock-invoke": ".anthropic.hosted:BedrockInvokeCodec",
        "cohere": ".cohere.codec:CohereCodec",
        "gemini": ".gemini.codec:GeminiCodec",
        "ollama": ".ollama.codec:OllamaCodec",
        "openai-chat": ".openai_chat.codec:OpenAIChatCodec",
        "openai-responses": ".openai_responses.codec:OpenAIResponsesCodec",
        "vertex-anthropic": ".anthropic.hosted:VertexAnthropicCodec",
    },
)

#: How embeddings are converted, by format; those that clients speak are EmbeddingClients as well.
EMBEDDINGS: Registry[EmbeddingUpstream] = Registry(
    "routex.embeddings",
    __name__,
    {
        "cohere-embed": ".cohere_embed:CohereEmbed",
        "gemini": ".gemini.embedding:GeminiEmbeddingCodec",
        "ollama-embed": ".ollama_embed:OllamaEmbed",
        "openai-embeddings": ".openai_embeddings:OpenAIEmbeddingCodec",
    },
)

#: How reranking is converted, by format. What clients speak is a RerankClient.
RERANKS: Registry[RerankUpstream | RerankClient] = Registry(
    "routex.reranks",
    __name__,
    {
        "bailian-rerank": ".bailian_rerank:BailianRerank",
        "cohere-rerank": ".cohere_rerank:CohereRerank",
        "jina-rerank": ".jina_rerank:JinaRerank",
        "rerank": ".rerank:Rerank",
        "tei-rerank": ".tei_rerank:TEIRerank",
    },
)


def client_codec(name: str) -> ClientCodec | None:
    """Return how a client's format is translated, None for one that is not."""
    codec = CODECS[name] if name in CODECS else None  # noqa: SIM401 - a registry has no get()
    return codec if isinstance(codec, ClientCodec) else None


#: What an error is told in when neither path nor headers say who asks: most clients speak it.
DEFAULT = "openai-chat"
