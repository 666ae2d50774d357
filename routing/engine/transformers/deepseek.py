"""DeepSeek's ways, for a channel whose provider does not say that it is one."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.transformer import Tokens, Transformer


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`max_tokens`: the most that the model writes."""

    max_tokens: Tokens = 8192


class DeepSeek(Transformer):
    """Limits the output and gives the reasoning of earlier tool turns back, without which they are refused."""

    name = "deepseek"
    summary = "Limits the output and gives back the reasoning of earlier tool turns."
    options = Options

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream of that kind."""
        return replace(
            capabilities,
            max_output=min(options.max_tokens, capabilities.max_output or options.max_tokens),
            reasoning_content_input=True,
            thinking_switch="thinking",
            efforts=("low", "high", "max"),
            effort_words=(("medium", "high"), ("xhigh", "high")),
            cache_control=False,
        )
