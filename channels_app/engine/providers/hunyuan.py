"""Tencent Hunyuan."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Provider


class Hunyuan(Provider):
    """Hunyuan as Tencent Cloud offers it over Chat Completions, https://cloud.tencent.com/document/product/1729."""

    name = "hunyuan"
    label = "Tencent Hunyuan"
    base_url = "https://api.hunyuan.cloud.tencent.com"
    capabilities = {
        "openai-chat": Capabilities(
            text_parts=False,
            strict_alternation=True,
            strict_tools=False,
            parallel_tool_calls=False,
            required_choice="",
            thinking_switch="enable_thinking",
            thinking_budget=False,
            penalties=False,
            logit_bias=False,
            logprobs=False,
            choices=False,
            structured_output=False,
            user=False,
        )
    }
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-embeddings": "/v1/embeddings",
    }
    # No list of models is documented, and nothing else that costs nothing.
    probe = None
