"""FORMATS: one line per wire format."""

from channels_app.engine.registry import Registry
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

#: What an error is told in when neither path nor headers say who asks: most clients speak it.
DEFAULT = "openai-chat"
