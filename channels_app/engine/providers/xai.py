"""xAI."""

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Probe, Provider

#: The newest models reason always, and then take neither stop sequences nor penalties.
_CHAT = Capabilities(
    developer_role=True,
    penalties=False,
    logit_bias=False,
    max_stop=0,
    max_tokens_field="max_completion_tokens",
)


class XAI(Provider):
    """The xAI API, https://docs.x.ai."""

    name = "xai"
    label = "xAI"
    price_list = "x-ai"
    base_url = "https://api.x.ai"
    capabilities = {
        "openai-chat": _CHAT,
        "openai-responses": replace(_CHAT, tool_message_images=True, web_search=True, store=True),
    }
    models = (
        *((glob, {"penalties": True, "max_stop": 4}) for glob in ("grok-2*", "grok-3", "grok-3-*", "*-non-reasoning*")),
        (
            "grok-3-mini*",
            {"penalties": False, "max_stop": 0, "reasoning_effort": True, "efforts": ("low", "high")},
        ),
    )
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-responses": "/v1/responses",
        "openai-images": "/v1/images/generations",
    }
    probe = Probe("/v1/models")
