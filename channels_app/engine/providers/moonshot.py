"""Moonshot."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import COMPATIBLE_MESSAGES, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider

_BEFORE_THE_SWITCH = {"thinking_switch": "", "sampling_params": True}


class Moonshot(Provider):
    """The Kimi models of Moonshot AI, https://platform.moonshot.cn/docs. Outside China the host is api.moonshot.ai."""

    name = "moonshot"
    label = "Moonshot"
    price_list = "moonshotai"
    base_url = "https://api.moonshot.cn"
    capabilities = {
        "openai-chat": Capabilities(
            cache_key=True,
            image_urls=False,
            strict_tools=False,
            parallel_tool_calls=False,
            required_choice="",
            named_choice=False,
            reasoning_content_input=True,
            thinking_switch="thinking",
            # From K2.5 on the temperature is fixed, and another one is refused.
            sampling_params=False,
            max_temperature=1.0,
            seed=False,
            logit_bias=False,
            logprobs=False,
            max_stop=5,
            structured_output=False,
            user=False,
        ),
        "anthropic": COMPATIBLE_MESSAGES,
    }
    models = (
        *OPEN_MODELS,
        ("kimi-k2-*", _BEFORE_THE_SWITCH),
        ("kimi-k2-thinking*", {"reasons_by_default": True}),
        ("kimi-latest*", _BEFORE_THE_SWITCH),
        ("moonshot-v1*", {**_BEFORE_THE_SWITCH, "reasoning_content_input": False}),
    )
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "anthropic": "/anthropic/v1/messages",
    }
    probe = Probe("/v1/models")
