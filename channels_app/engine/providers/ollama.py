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
    # A model that cannot think refuses to be asked; see the families below.
    thinking="none",
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


#: Families with thinking in https://ollama.com/search?c=thinking; a derived model is found by its name.
_THINKERS = (
    *(
        "*qwen3*",
        "*qwq*",
        "*deepseek-r1*",
        "*deepseek-v3.[1-9]*",
        "*deepseek-v[4-9]*",
        "*gpt-oss*",
        "*magistral*",
        "*glm-4.[5-9]*",
    ),
    *("*glm-5*", "*think*", "*reason*", "*nemotron*", "*kimi-k2.[5-9]*", "*minimax-m*", "*exaone-deep*", "*cogito*"),
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
            thinking_switch="",
            top_k=False,
            efforts=("none", "low", "medium", "high"),
        ),
    }
    models = (
        *((family, {"thinking": "enabled"}) for family in _THINKERS),
        ("*gpt-oss*", {"efforts": ("low", "medium", "high")}),
    )
    endpoints = {
        "ollama": "/api/chat",
        "openai-chat": "/v1/chat/completions",
        "ollama-embed": "/api/embed",
        "openai-embeddings": "/v1/embeddings",
        "openai-completions": "/v1/completions",
    }
    probe = Probe("/api/tags")
