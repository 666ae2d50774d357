"""PROVIDERS: one line per provider."""

from channels_app.engine.provider import Provider
from channels_app.engine.registry import Registry

PROVIDERS: Registry[Provider] = Registry(
    "routex.providers",
    __name__,
    {
        "anthropic": ".anthropic:Anthropic",
        "anthropic-compatible": ".anthropic_compatible:AnthropicCompatible",
        "echo": ".echo:Echo",
        "gemini": ".gemini:Gemini",
        "openai": ".openai:OpenAI",
        "openai-compatible": ".openai_compatible:OpenAICompatible",
    },
)
