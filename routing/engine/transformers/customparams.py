"""Add members to the upstream's body that no format of ours knows."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest
from routing.engine.transformer import Transformer, merged


class CustomParams(Transformer):
    """Every option is a member of the body. Objects are merged; what the request says itself stays."""

    name = "customparams"
    summary = "Adds members to the upstream's body; what the request says itself stays."
    options = dict  # type: ignore[assignment]

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request with the members added."""
        return replace(request, extra=merged(request.extra, options))
