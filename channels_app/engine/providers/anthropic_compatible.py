"""Any server that speaks Anthropic's format."""

from msgspec.structs import replace

from channels_app.engine.profiles import CLAUDE_MODELS, COMPATIBLE_MESSAGES
from channels_app.engine.provider import Provider


class AnthropicCompatible(Provider):
    """A base URL without `/v1`, as ANTHROPIC_BASE_URL has it, that answers Anthropic's paths."""

    name = "anthropic-compatible"
    label = "Anthropic-compatible"
    # What calls itself so is taken at its word: its bytes pass like the inventor's.
    is_genuine = True
    capabilities = {"anthropic": replace(COMPATIBLE_MESSAGES, cache_control=True, inventors_notes=True)}
    models = CLAUDE_MODELS
    base_url_example = "https://host.example"
    needs_credential = False
    endpoints = {
        "anthropic": "/v1/messages",
        "anthropic:count_tokens": "/v1/messages/count_tokens",
    }
    auth_header = "x-api-key"
    auth_scheme = ""
    default_headers = {"anthropic-version": "2023-06-01"}
    forwarded_headers = frozenset({"anthropic-beta", "anthropic-version"})
    # Many of these servers answer messages and nothing else; a missing model list says nothing about their health.
    probe = None
