"""Hugging Face's router."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class HuggingFace(Provider):
    """Inference Providers behind one address, https://huggingface.co/docs/inference-providers.

    The upstream model may end with `:provider`.
    """

    name = "huggingface"
    label = "Hugging Face"
    base_url = "https://router.huggingface.co"
    credential = "an access token"
    capabilities = {"openai-chat": replace(OPEN_CHAT, top_k=False, logit_bias=False, choices=False)}
    models = OPEN_MODELS
    endpoints = {"openai-chat": "/v1/chat/completions"}
    probe = Probe("/v1/models")

    def priced_as(self, base_url: str, model: str) -> tuple[str, str]:
        """Return the list of whoever answers, which is known only where the model names them."""
        name, colon, host = model.rpartition(":")
        return (f"huggingface_{host}", name) if colon else ("", model)
