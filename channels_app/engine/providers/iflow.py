"""iFlow."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Provider


class IFlow(Provider):
    """The iFlow platform, https://platform.iflow.cn/docs."""

    name = "iflow"
    label = "iFlow"
    base_url = "https://apis.iflow.cn"
    capabilities = {
        "openai-chat": replace(OPEN_CHAT, text_parts=False, logit_bias=False, logprobs=False, choices=False)
    }
    models = (
        *OPEN_MODELS,
        ("glm-*", {"reasoning_content_input": True, "thinking_switch": "chat_template_kwargs"}),
        ("minimax-*", {"reasoning_content_input": True}),
        ("deepseek-*", {"reasoning_content_input": True}),
    )
    endpoints = {"openai-chat": "/v1/chat/completions"}
    # Only conversations are documented.
    probe = None
