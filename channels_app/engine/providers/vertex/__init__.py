"""Google Vertex AI."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from channels_app.engine.profiles import CLAUDE, CLAUDE_MODELS, GEMINI, GEMINI_MODELS
from channels_app.engine.provider import Provider, UpstreamRequest, Upstreams
from channels_app.engine.providers.vertex.tokens import Tokens, load_account

_EXAMPLE = "https://europe-west1-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west1"
_PLACE = re.compile(r"(/v1(?:beta1)?/projects/[^/?]+/locations/([^/?]+)).*")
_OWN_HOST = "aiplatform.googleapis.com"


class Vertex(Provider):
    """Gemini and Claude on Vertex AI, https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.

    The base URL names project and location; the location `global` has a host without prefix.
    """

    name = "vertex"
    label = "Google Vertex AI"
    price_list = "google"
    base_url_example = _EXAMPLE
    endpoints = {
        "gemini:generateContent": "/publishers/google/models/{model}:generateContent",
        "gemini:streamGenerateContent": "/publishers/google/models/{model}:streamGenerateContent?alt=sse",
        "gemini:countTokens": "/publishers/google/models/{model}:countTokens",
        "vertex-anthropic": "/publishers/anthropic/models/{model}:rawPredict",
        "vertex-anthropic:stream": "/publishers/anthropic/models/{model}:streamRawPredict",
    }
    model_formats = (("*claude*", ("vertex-anthropic",)), ("*", ("gemini",)))
    credential = "a service account's key, the whole JSON file"
    capabilities = {
        "gemini": replace(GEMINI, image_urls=True, service_tier=False),
        "vertex-anthropic": replace(CLAUDE, image_urls=False, service_tier=False),
    }
    models = (
        *GEMINI_MODELS,
        ("gemini-[12]*", {"tool_ids": False}),
        *CLAUDE_MODELS,
        ("*claude*", {"mid_system": False}),
    )
    # It has no cheap question that every location answers.
    probe = None

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens or Tokens()

    def fit_base_url(self, base_url: str) -> str:
        """Return the base URL up to the location, which must be one of the host's."""
        parts = urlsplit(base_url)
        place = _PLACE.fullmatch(parts.path)
        if place is None:
            raise ValueError(f"{self.label}'s base URL names project and location: {_EXAMPLE}.")
        host, location = parts.netloc, place[2]
        wanted = _OWN_HOST if location == "global" else f"{location}-{_OWN_HOST}"
        if host.endswith(_OWN_HOST) and host != wanted:
            raise ValueError(f"The location {location} is served by https://{wanted}, not by https://{host}.")
        return f"{parts.scheme}://{host}{place[1]}"

    def check_secret(self, secret: str) -> None:
        """Refuse what is no service account's key."""
        load_account(secret)

    async def sign(self, request: UpstreamRequest, secret: str, upstreams: Upstreams) -> UpstreamRequest:
        """Return the request with a token of the service account."""
        return await super().sign(request, await self._tokens.get(secret, request, upstreams), upstreams)
