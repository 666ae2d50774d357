"""Alibaba Bailian."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import QWEN_MODELS
from channels_app.engine.provider import Provider


class Bailian(Provider):
    """Model Studio of Alibaba Cloud, https://help.aliyun.com/zh/model-studio.

    Outside China the host is dashscope-intl.aliyuncs.com.
    """

    name = "bailian"
    label = "Alibaba Bailian"
    base_url = "https://dashscope.aliyuncs.com"
    capabilities = {
        "openai-chat": Capabilities(
            # Tools are called freely or by name; that any must be called cannot be said.
            required_choice="",
            strict_tools=False,
            thinking_switch="enable_thinking",
            choice_while_thinking=False,
            whole_while_thinking=False,
            # Its range ends below 2.
            max_temperature=1.99,
            top_k=True,
            logit_bias=False,
            user=False,
        )
    }
    models = (*QWEN_MODELS, ("*claude*", {"cache_control": True}))
    endpoints = {
        "openai-chat": "/compatible-mode/v1/chat/completions",
        "openai-completions": "/compatible-mode/v1/completions",
        "openai-embeddings": "/compatible-mode/v1/embeddings",
        "bailian-rerank": "/api/v1/services/rerank/text-rerank/text-rerank",
    }
    # Its documents say that vectors come as floats only; the official clients ask for base64.
    only_values = {"openai-embeddings": {"encoding_format": b'"float"'}}
    # Nothing that is documented answers without a price.
    probe = None
