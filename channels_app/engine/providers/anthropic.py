"""Anthropic."""

from channels_app.engine.profiles import CLAUDE, CLAUDE_MODELS
from channels_app.engine.provider import Probe, Provider


class Anthropic(Provider):
    """The Claude API, https://docs.claude.com/en/api/overview."""

    name = "anthropic"
    label = "Anthropic"
    price_list = "anthropic"
    base_url = "https://api.anthropic.com"
    is_genuine = True
    capabilities = {"anthropic": CLAUDE}
    models = CLAUDE_MODELS
    endpoints = {
        "anthropic": "/v1/messages",
        "anthropic:count_tokens": "/v1/messages/count_tokens",
    }
    auth_header = "x-api-key"
    auth_scheme = ""
    default_headers = {"anthropic-version": "2023-06-01"}
    forwarded_headers = frozenset({"anthropic-beta", "anthropic-version"})
    probe = Probe("/v1/models?limit=1")
