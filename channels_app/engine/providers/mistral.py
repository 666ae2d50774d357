"""Mistral."""

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.profiles import MISTRAL
from channels_app.engine.provider import Probe, Provider


class Mistral(Provider):
    """The Mistral API, https://docs.mistral.ai/api."""

    name = "mistral"
    label = "Mistral"
    price_list = "mistral"
    base_url = "https://api.mistral.ai"
    capabilities = {
        "openai-chat": Capabilities(
            prefix=True,
            required_choice="any",
            **MISTRAL,
            names=False,
            document_urls=True,
            max_temperature=1.5,
            seed_field="random_seed",
            logit_bias=False,
            logprobs=False,
            user=False,
            rare_members=("prediction",),
            # Usage comes with the last chunk anyway, and the question for it is refused.
            stream_usage=False,
        )
    }
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-embeddings": "/v1/embeddings",
        "openai-moderations": "/v1/moderations",
        "openai-transcription": "/v1/audio/transcriptions",
    }
    probe = Probe("/v1/models")
