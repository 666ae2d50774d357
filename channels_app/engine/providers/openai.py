"""OpenAI."""

from channels_app.engine.profiles import GPT_CHAT, GPT_MODELS, GPT_RESPONSES
from channels_app.engine.provider import Provider


class OpenAI(Provider):
    """The OpenAI API, https://platform.openai.com/docs/api-reference."""

    name = "openai"
    label = "OpenAI"
    price_list = "openai"
    base_url = "https://api.openai.com/v1"
    is_genuine = True
    capabilities = {"openai-chat": GPT_CHAT, "openai-responses": GPT_RESPONSES}
    models = GPT_MODELS
    endpoints = {
        "openai-chat": "/chat/completions",
        "openai-responses": "/responses",
        "openai-embeddings": "/embeddings",
        "openai-completions": "/completions",
        "openai-moderations": "/moderations",
        "openai-images": "/images/generations",
        "openai-speech": "/audio/speech",
        "openai-transcription": "/audio/transcriptions",
    }
    # Organization and project belong to the channel's account, never to the caller. A session finds its cache again.
    forwarded_headers = frozenset(
        {"idempotency-key", "openai-beta", "x-client-request-id", "session-id", "session_id", "thread-id"}
    )
