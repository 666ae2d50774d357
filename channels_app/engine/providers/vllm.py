"""vLLM."""

from msgspec.structs import replace

from channels_app.engine.profiles import COMPATIBLE_MESSAGES, COMPATIBLE_RESPONSES, OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class VLLM(Provider):
    """A server of https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html."""

    name = "vllm"
    label = "vLLM"
    base_url_example = "http://127.0.0.1:8000"
    needs_credential = False
    capabilities = {
        "openai-chat": replace(
            OPEN_CHAT,
            parallel_tool_calls=True,
            reasoning_effort=True,
            efforts=("low", "medium", "high"),
            thinking_switch="chat_template_kwargs",
            user=True,
        ),
        "openai-responses": replace(COMPATIBLE_RESPONSES, top_k=True, efforts=("low", "medium", "high")),
        "anthropic": replace(COMPATIBLE_MESSAGES, thinking="none"),
    }
    models = OPEN_MODELS
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-responses": "/v1/responses",
        "anthropic": "/v1/messages",
        "anthropic:count_tokens": "/v1/messages/count_tokens",
        "openai-completions": "/v1/completions",
        "openai-embeddings": "/v1/embeddings",
        "openai-transcription": "/v1/audio/transcriptions",
        "jina-rerank": "/v1/rerank",
    }
    probe = Probe("/v1/models")
