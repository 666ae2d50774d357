"""Google Gemini."""

from channels_app.engine.profiles import GEMINI, GEMINI_MODELS
from channels_app.engine.provider import Probe, Provider


class Gemini(Provider):
    """The Gemini API of Google AI Studio, https://ai.google.dev/api."""

    name = "gemini"
    label = "Google Gemini"
    price_list = "google"
    base_url = "https://generativelanguage.googleapis.com"
    # Where OpenAI's formats are spoken, which are not asked for here.
    base_url_tails = ("/v1beta/openai", "/v1beta/openai/chat/completions")
    is_genuine = True
    capabilities = {"gemini": GEMINI}
    models = GEMINI_MODELS
    endpoints = {
        "gemini:generateContent": "/v1beta/models/{model}:generateContent",
        # Without alt=sse the stream is one long JSON array, which cannot be forwarded event by event.
        "gemini:streamGenerateContent": "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        "gemini:countTokens": "/v1beta/models/{model}:countTokens",
        # Before its sibling: converted requests may hold many texts.
        "gemini:batchEmbedContents": "/v1beta/models/{model}:batchEmbedContents",
        "gemini:embedContent": "/v1beta/models/{model}:embedContent",
    }
    auth_header = "x-goog-api-key"
    auth_scheme = ""
    # x-goog-user-project belongs to the channel's account, never to the caller.
    forwarded_headers = frozenset({"x-goog-api-client", "x-goog-request-params", "x-server-timeout"})
    probe = Probe("/v1beta/models?pageSize=1")

    def url(self, base_url: str, operation: str, model: str) -> str:
        """Return the full URL of an operation; the lists of models call each `models/…`, or `tunedModels/…`."""
        url = super().url(base_url, operation, model.removeprefix("models/"))
        return url.replace("/models/tunedModels/", "/tunedModels/")
