"""Ollama."""

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Probe, Provider

_NATIVE = Capabilities(
    # Thinking is on or off; levels are for the few models below.
    efforts=("none",),
    image_urls=False,
    reasoning_content_input=True,
    reasoning_field="thinking",
    thinking="enabled",
    thinking_switch="think",
    strict_tools=False,
    parallel_tool_calls=False,
    required_choice="",
    named_choice=False,
    top_k=True,
    logit_bias=False,
    logprobs=False,
    choices=False,
    max_stop=16,
    user=False,
)


class Ollama(Provider):
    """A server of https://docs.ollama.com/api, asked in its own format; it speaks Chat Completions too."""

    name = "ollama"
    label = "Ollama"
    base_url_example = "http://127.0.0.1:11434"
    base_url_tails = ("/api",)
    needs_credential = False
    capabilities = {
        "ollama": _NATIVE,
        "openai-chat": replace(
            _NATIVE,
            reasoning_effort=True,
            reasoning_field="reasoning",
            thinking="none",
            thinking_switch="",
            top_k=False,
            efforts=("none", "low", "medium", "high"),
        ),
    }
    models = (("*gpt-oss*", {"efforts": ("low", "medium", "high")}),)
    endpoints = {
        "ollama": "/api/chat",
        "openai-chat": "/v1/chat/completions",
        "ollama-embed": "/api/embed",
        "openai-embeddings": "/v1/embeddings",
        "openai-completions": "/v1/completions",
    }
    probe = Probe("/api/tags")
