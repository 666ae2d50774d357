"""Leave out cache breakpoints, for upstreams that refuse them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest
from routing.engine.transformer import Transformer


class CleanCache(Transformer):
    """Cache breakpoints cost nothing to lose but money, so nothing is reported."""

    name = "cleancache"
    summary = "Leaves out cache breakpoints."

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream that knows none."""
        return replace(capabilities, cache_control=False, cache_breakpoints=False)

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request without automatic caching."""
        return replace(request, cache=None)
