"""Azure OpenAI."""

from __future__ import annotations

from urllib.parse import quote

from msgspec.structs import replace

from channels_app.engine.profiles import GPT_CHAT, GPT_MODELS, GPT_RESPONSES
from channels_app.engine.provider import Headers, Provider, join_url

_UNKNOWN_THERE = {
    "cache_breakpoints": False,
    "allowed_tools": False,
    "service_tier": False,
    "safety_identifier": False,
    "metadata": False,
    "store": False,
    "rare_members": ("prediction",),
    "web_search": False,
}
#: Dated versions of the API know the newer words for models that reason only; these take the old ones in all.
_CLASSIC = {"max_tokens_field": "max_tokens", "developer_role": False}
_DEPLOYMENTS = "/deployments/"
#: Operations whose path stands beside the deployments and not under one.
_BESIDE_DEPLOYMENTS = frozenset({"openai-responses"})


class AzureOpenAI(Provider):
    """OpenAI's models as an Azure resource deploys them, https://learn.microsoft.com/azure/ai-services/openai.

    The upstream model is the name of a deployment. A base URL that ends with `/openai/v1` uses the API without
    dates; one with `?api-version=` the dated one, where a deployment in the base URL counts for every model.
    """

    name = "azure-openai"
    label = "Azure OpenAI"
    price_list = "azure"
    base_url_example = "https://my-resource.openai.azure.com/openai/v1"
    base_url_query = frozenset({"api-version"})
    credential = "an API key, or an Entra ID access token"
    auth_header = "api-key"
    auth_scheme = ""
    capabilities = {
        "openai-chat": replace(GPT_CHAT, **_UNKNOWN_THERE),
        "openai-responses": replace(GPT_RESPONSES, **_UNKNOWN_THERE),
    }
    models = (*GPT_MODELS, *((family, _CLASSIC) for family in ("*gpt-3*", "*gpt-4*")))
    endpoints = {
        "openai-chat": "/chat/completions",
        "openai-responses": "/responses",
        "openai-completions": "/completions",
        "openai-embeddings": "/embeddings",
        "openai-images": "/images/generations",
        "openai-speech": "/audio/speech",
        "openai-transcription": "/audio/transcriptions",
    }

    def fit_base_url(self, base_url: str) -> str:
        """Return the base URL with what follows from the rest of it: `/openai`, and `/v1` where no date is given."""
        url, _, query = base_url.partition("?")
        if "/openai" not in url.partition("://")[2]:
            url += "/openai"
        if url.endswith("/openai") and not query:
            url += "/v1"
        if _DEPLOYMENTS in url and not query:
            raise ValueError(
                f"A base URL with a deployment needs the date of the API behind it: {url}?api-version=2024-10-21. "
                f"Or leave the deployment out, as in {self.base_url_example}."
            )
        return f"{url}?{query}" if query else url

    def url(self, base_url: str, operation: str, model: str) -> str:
        """Return the full URL of an operation: under `/openai/v1`, or under the deployment."""
        resource, _, deployment = base_url.partition("?")[0].rstrip("/").partition(_DEPLOYMENTS)
        if resource.endswith("/v1"):
            return super().url(base_url, operation, model)
        query = base_url.partition("?")[2]
        if operation not in _BESIDE_DEPLOYMENTS:
            resource += _DEPLOYMENTS + (deployment or quote(model, safe=""))
        return join_url(f"{resource}?{query}", self.endpoints[operation])

    def probe_url(self, base_url: str) -> str:
        """Return the URL of the list of models, which stands beside the deployments."""
        url, _, query = base_url.partition("?")
        return join_url(f"{url.partition(_DEPLOYMENTS)[0]}?{query}", "/models")

    def auth_headers(self, secret: str) -> Headers:
        """Return the key's header; a token of Entra ID, which is a JWT, goes where tokens go."""
        if secret.startswith("eyJ") and secret.count(".") == 2:
            return [("authorization", f"Bearer {secret}")]
        return super().auth_headers(secret)
