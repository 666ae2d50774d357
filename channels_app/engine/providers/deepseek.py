"""DeepSeek."""

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import COMPATIBLE_MESSAGES
from channels_app.engine.provider import Probe, Provider

_CHAT = Capabilities(
    prefix=True,
    text_parts=False,
    parallel_tool_calls=False,
    reasoning_effort=True,
    efforts=("low", "high", "max"),
    effort_words=(("medium", "high"), ("xhigh", "high")),
    reasoning_content_input=True,
    thinking_switch="thinking",
    reasons_by_default=True,
    choice_while_thinking=False,
    seed=False,
    logit_bias=False,
    choices=False,
    max_stop=16,
    structured_output=False,
    user=False,
)


class DeepSeek(Provider):
    """The DeepSeek API, https://api-docs.deepseek.com."""

    name = "deepseek"
    label = "DeepSeek"
    price_list = "deepseek"
    base_url = "https://api.deepseek.com"
    # The documented endpoint, without /beta, is pasted as it is.
    base_url_tails = ("/v1", "/beta", "/chat/completions", "/v1/chat/completions")
    capabilities = {
        "openai-chat": _CHAT,
        "anthropic": replace(
            COMPATIBLE_MESSAGES,
            efforts=_CHAT.efforts,
            effort_words=_CHAT.effort_words,
            reasons_by_default=True,
            top_k=False,
            max_stop=16,
        ),
        "openai-responses": replace(_CHAT, prefix=False),
    }
    models = (
        ("deepseek-chat*", {"max_output": 8192, "reasons_by_default": False}),
        ("deepseek-reasoner*", {"max_output": 65536, "logprobs": False}),
    )
    endpoints = {
        # Under /beta the same models also continue a marked answer and keep to strict tool schemas.
        "openai-chat": "/beta/chat/completions",
        "anthropic": "/anthropic/v1/messages",
        "openai-responses": "/responses",
        "openai-completions": "/beta/completions",
    }
    probe = Probe("/models")
