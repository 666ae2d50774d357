"""Zhipu."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import COMPATIBLE_MESSAGES
from channels_app.engine.provider import Provider

_BEFORE_THINKING = {"thinking_switch": "", "reasoning_content_input": False}


class Zhipu(Provider):
    """The GLM models of Zhipu, https://docs.bigmodel.cn.

    Outside China the base URL is https://api.z.ai/api; that of the coding plan is https://api.z.ai/api/coding.
    """

    name = "zhipu"
    label = "Zhipu"
    price_list = "zhipuai"
    base_url = "https://open.bigmodel.cn/api"
    capabilities = {
        "openai-chat": Capabilities(
            text_parts=False,
            strict_tools=False,
            parallel_tool_calls=False,
            # Its models choose; nothing can be demanded of them.
            required_choice="",
            named_choice=False,
            reasoning_content_input=True,
            thinking_switch="thinking",
            max_temperature=1.0,
            seed=False,
            penalties=False,
            logit_bias=False,
            logprobs=False,
            choices=False,
            max_stop=1,
            structured_output=False,
            user=False,
            # Usage comes with the last chunk anyway.
            stream_usage=False,
        ),
        "anthropic": COMPATIBLE_MESSAGES,
    }
    models = (
        ("glm-4-*", {**_BEFORE_THINKING, "max_output": 4095, "default_max_output": 4095}),
        ("glm-4.5*", {"max_output": 98304}),
        ("glm-4.[67]*", {"max_output": 131_072}),
    )
    endpoints = {
        "openai-chat": "/paas/v4/chat/completions",
        "anthropic": "/anthropic/v1/messages",
        "openai-embeddings": "/paas/v4/embeddings",
        "openai-images": "/paas/v4/images/generations",
        "jina-rerank": "/paas/v4/rerank",
    }
    # No list of models is documented, and nothing else that costs nothing.
    probe = None

    def url(self, base_url: str, operation: str, model: str) -> str:
        """Return the full URL of an operation; the coding plan has no path of its own for Anthropic's format."""
        if operation == "anthropic":
            base_url = base_url.rstrip("/").removesuffix("/coding")
        return super().url(base_url, operation, model)

    def priced_as(self, base_url: str, model: str) -> tuple[str, str]:
        """Return the list of the address: in and outside China the prices differ."""
        return ("zai" if "//api.z.ai" in base_url else self.price_list), model
