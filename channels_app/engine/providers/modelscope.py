"""ModelScope."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS, QWEN_MODELS
from channels_app.engine.provider import Probe, Provider


class ModelScope(Provider):
    """ModelScope's API-Inference, https://modelscope.cn/docs/model-service/API-Inference/intro."""

    name = "modelscope"
    label = "ModelScope"
    base_url = "https://api-inference.modelscope.cn"
    credential = "an access token"
    capabilities = {
        "openai-chat": replace(OPEN_CHAT, thinking_switch="enable_thinking", whole_while_thinking=False, choices=False)
    }
    models = (*OPEN_MODELS, *QWEN_MODELS)
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-embeddings": "/v1/embeddings",
    }
    probe = Probe("/v1/models")
