"""Ask for usage in streams, for a channel that is thought not to know how."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.transformer import Transformer


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`include_usage`: false keeps the request for usage away from servers that refuse it."""

    include_usage: bool = True


class StreamOptions(Transformer):
    """Sets whether `stream_options.include_usage` is sent."""

    name = "streamoptions"
    summary = "Sets whether streams are asked for their usage."
    options = Options

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream that takes the wish, or does not."""
        return replace(capabilities, stream_usage=options.include_usage)
