"""OpenRouter's ways, for a channel whose provider does not say that it is one."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest
from routing.engine.transformer import Transformer, merged

_CACHING = ("claude", "gemini")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`provider`, `transforms`, `route`: as OpenRouter documents them; `fallback_models`: its `models`.

    `cache_control`: keep breakpoints; without it, for the models that take them.
    """

    provider: dict[str, Any] | None = None
    fallback_models: list[str] | None = None
    transforms: list[str] | None = None
    route: str | None = None
    cache_control: bool | None = None


class OpenRouter(Transformer):
    """Spells reasoning as it wants it and adds its routing preferences."""

    name = "openrouter"
    summary = "Spells reasoning OpenRouter's way and adds its routing preferences."
    options = Options

    def options_for(self, model: str, options: Any) -> Any:
        """Return the options with breakpoints for the vendors that cache by them."""
        if options.cache_control is not None:
            return options
        return replace(options, cache_control=any(vendor in model.lower() for vendor in _CACHING))

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream of that kind."""
        return replace(
            capabilities,
            thinking_switch="reasoning",
            reasoning_field="reasoning",
            cache_control=options.cache_control is not False,
        )

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request with the preferences."""
        members = {
            "provider": options.provider,
            "models": options.fallback_models,
            "transforms": options.transforms,
            "route": options.route,
        }
        added = {name: value for name, value in members.items() if value is not None}
        return replace(request, extra=merged(request.extra, added)) if added else request
