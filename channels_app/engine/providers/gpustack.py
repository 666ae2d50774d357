"""GPUStack."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class GPUStack(Provider):
    """A server of https://docs.gpustack.ai, which hands requests to vLLM and the like."""

    name = "gpustack"
    label = "GPUStack"
    base_url_example = "http://127.0.0.1"
    # Where the paths stood before they were at /v1.
    base_url_tails = ("/v1-openai", "/v1-openai/chat/completions")
    capabilities = {
        "openai-chat": replace(OPEN_CHAT, parallel_tool_calls=True, thinking_switch="chat_template_kwargs", user=True)
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
