"""OpenRouter."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Probe, Provider


class OpenRouter(Provider):
    """The OpenRouter API, https://openrouter.ai/docs/api-reference/overview."""

    name = "openrouter"
    label = "OpenRouter"
    price_list = "openrouter"
    base_url = "https://openrouter.ai/api"
    capabilities = {
        "openai-chat": Capabilities(
            developer_role=True,
            reasoning_field="reasoning",
            thinking_switch="reasoning",
            efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
            top_k=True,
            # It answers once, however many answers are asked for.
            choices=False,
            verbosity=True,
            rare_members=("prediction",),
        )
    }
    models = (
        *(
            (f"{vendor}/*", {"reasoning_content_input": True})
            for vendor in ("deepseek", "moonshotai", "z-ai", "minimax")
        ),
        # Ids are mended on the way to them; the order is not.
        ("mistralai/*", {"user_after_tool": False}),
        ("*claude*", {"cache_control": True}),
        ("*gemini*", {"cache_control": True}),
    )
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-completions": "/v1/completions",
        "openai-embeddings": "/v1/embeddings",
    }
    # Asked for base64, which the official clients do unasked, many of its models answer with no vectors at all.
    only_values = {"openai-embeddings": {"encoding_format": b'"float"'}}
    # Whom a request is counted for on their side.
    forwarded_headers = frozenset({"http-referer", "x-title"})
    # The list of models needs no key; this tells about the one that was sent.
    probe = Probe("/v1/key")
