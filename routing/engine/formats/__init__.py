"""FORMATS: one line per wire format that clients speak. CODECS: one per format that is translated."""

from channels_app.engine.registry import Registry
from routing.engine.codec import ClientCodec, UpstreamCodec
from routing.engine.format import Format

FORMATS: Registry[Format] = Registry(
    "routex.formats",
    __name__,
    {
        "anthropic": ".anthropic:Anthropic",
        "gemini": ".gemini:Gemini",
        "openai-chat": ".openai_chat:OpenAIChat",
        "openai-embeddings": ".openai_embeddings:OpenAIEmbeddings",
        "openai-images": ".openai_images:OpenAIImages",
        "openai-responses": ".openai_responses:OpenAIResponses",
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


def client_codec(name: str) -> ClientCodec | None:
    """Return how a client's format is translated, None for one that is not."""
    codec = CODECS[name] if name in CODECS else None  # noqa: SIM401 - a registry has no get()
    return codec if isinstance(codec, ClientCodec) else None


#: What an error is told in when neither path nor headers say who asks: most clients speak it.
DEFAULT = "openai-chat"
