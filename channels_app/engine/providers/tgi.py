"""Text Generation Inference, and Text Embeddings Inference beside it."""

from msgspec.structs import replace

from channels_app.engine.profiles import OPEN_CHAT, OPEN_MODELS
from channels_app.engine.provider import Probe, Provider


class TextGenerationInference(Provider):
    """A server of https://huggingface.co/docs/text-generation-inference or of its sibling for embeddings."""

    name = "tgi"
    label = "Text Generation Inference"
    base_url_example = "http://127.0.0.1:8080"
    needs_credential = False
    capabilities = {
        "openai-chat": replace(
            OPEN_CHAT,
            top_k=False,
            # There `logit_bias` is a list of numbers.
            logit_bias=False,
            choices=False,
            # A plain JSON object is no grammar there; a schema is, in words of its own that every version knows.
            json_object=False,
            schema_as_value=True,
        )
    }
    models = OPEN_MODELS
    endpoints = {
        "openai-chat": "/v1/chat/completions",
        "openai-completions": "/v1/completions",
        "openai-embeddings": "/v1/embeddings",
        "tei-rerank": "/rerank",
    }
    probe = Probe("/health")
