"""OpenAI."""

from channels_app.engine.provider import Provider


class OpenAI(Provider):
    """The OpenAI API, https://platform.openai.com/docs/api-reference."""

    name = "openai"
    label = "OpenAI"
    base_url = "https://api.openai.com/v1"
    endpoints = {
        "openai-chat": "/chat/completions",
        "openai-responses": "/responses",
        "openai-embeddings": "/embeddings",
        "openai-images": "/images/generations",
    }
    # Organization and project belong to the channel's account, never to the caller.
    forwarded_headers = frozenset({"idempotency-key", "openai-beta", "x-client-request-id"})
