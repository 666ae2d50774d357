"""Groq."""

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import COMPATIBLE_RESPONSES, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider

_CHAT = Capabilities(
    reasoning_field="reasoning",
    # Reasoning stays in the text unless a request asks otherwise.
    think_tags=True,
    strict_tools=False,
    names=False,
    logit_bias=False,
    logprobs=False,
    choices=False,
    structured_output=False,
    max_tokens_field="max_completion_tokens",
)


class Groq(Provider):
    """The Groq API, https://console.groq.com/docs/api-reference."""

    name = "groq"
    label = "Groq"
    price_list = "groq"
    base_url = "https://api.groq.com/openai"
    capabilities = {
        "openai-chat": _CHAT,
        "openai-responses": replace(COMPATIBLE_RESPONSES, reasoning_effort=False, structured_output=False),
    }
    models = (
        *OPEN_MODELS,
        # It thinks, or is told not to.
        ("*qwen3*", {"reasoning_effort": True, "efforts": ("none",)}),
        *((glob, {"structured_output": True}) for glob in ("*gpt-oss*", "*kimi-k2*", "*llama-4*")),
    )
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-responses": "/v1/responses",
        "openai-speech": "/v1/audio/speech",
        "openai-transcription": "/v1/audio/transcriptions",
    }
    probe = Probe("/v1/models")
