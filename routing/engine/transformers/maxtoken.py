"""Limit what a model may write."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.transformer import Tokens, Transformer


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`max_tokens`: the limit, the model's own without one; `field`: an unusual member of the body that carries it."""

    max_tokens: Tokens | None = None
    field: str = ""


class MaxToken(Transformer):
    """A request that asks for more is cut down to the limit, and told so."""

    name = "maxtoken"
    summary = "Limits what a model may write."
    options = Options

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream that writes no more."""
        if options.max_tokens is None:
            return replace(capabilities, max_tokens_field=options.field or capabilities.max_tokens_field)
        most = min(options.max_tokens, capabilities.max_output or options.max_tokens)
        return replace(
            capabilities,
            max_output=most,
            default_max_output=min(most, capabilities.default_max_output),
            max_tokens_field=options.field or capabilities.max_tokens_field,
        )
