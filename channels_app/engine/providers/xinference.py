"""Xinference."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class Xinference(Provider):
    """A server of https://inference.readthedocs.io."""

    name = "xinference"
    label = "Xinference"
    base_url_example = "http://127.0.0.1:9997"
    needs_credential = False
    capabilities = {
        "openai-chat": replace(
            OPEN_CHAT,
            text_parts=False,
            required_choice="",
            named_choice=False,
            thinking_switch="chat_template_kwargs",
            choices=False,
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
