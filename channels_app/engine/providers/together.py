"""Together AI."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class Together(Provider):
    """The Together API, https://docs.together.ai/reference."""

    name = "together"
    label = "Together"
    price_list = "together"
    base_url = "https://api.together.xyz"
    capabilities = {
        "openai-chat": replace(
            OPEN_CHAT,
            reasoning_field="reasoning",
            # There `logprobs` is a number.
            logprobs=False,
        )
    }
    models = OPEN_MODELS
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-completions": "/v1/completions",
        "openai-embeddings": "/v1/embeddings",
        "openai-images": "/v1/images/generations",
        "openai-speech": "/v1/audio/speech",
        "openai-transcription": "/v1/audio/transcriptions",
        "jina-rerank": "/v1/rerank",
    }
    probe = Probe("/v1/models")
