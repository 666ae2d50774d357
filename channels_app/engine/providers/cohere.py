"""Cohere."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Probe, Provider


class Cohere(Provider):
    """The Cohere API, version 2, https://docs.cohere.com/reference/chat."""

    name = "cohere"
    label = "Cohere"
    price_list = "cohere"
    base_url = "https://api.cohere.com"
    base_url_tails = ("/v1",)
    capabilities = {
        "cohere": Capabilities(
            parallel_tool_calls=False,
            named_choice=False,
            max_temperature=1.0,
            top_k=True,
            logit_bias=False,
            choices=False,
            max_stop=5,
            user=False,
            max_output=8192,
            default_max_output=4096,
        )
    }
    models = (
        ("command-r*", {"max_output": 4096}),
        ("*reasoning*", {"thinking": "enabled", "max_output": 32768, "max_thinking": 31000}),
    )
    endpoints = {
        "cohere": "/v2/chat",
        "cohere-embed": "/v2/embed",
        "cohere-rerank": "/v2/rerank",
    }
    probe = Probe("/v1/models?page_size=1")
