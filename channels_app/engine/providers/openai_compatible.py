"""Any server that speaks OpenAI's formats: vLLM, Ollama, LM Studio and many hosted ones."""

from channels_app.engine.provider import Provider


class OpenAICompatible(Provider):
    """A base URL, `/v1` included where the server has it, that answers OpenAI's paths."""

    name = "openai-compatible"
    label = "OpenAI-compatible"
    needs_credential = False
    endpoints = {
        "openai-chat": "/chat/completions",
        "openai-responses": "/responses",
        "openai-embeddings": "/embeddings",
        "openai-images": "/images/generations",
    }
    forwarded_headers = frozenset({"idempotency-key", "openai-beta", "x-client-request-id"})
