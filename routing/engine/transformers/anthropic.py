"""Speak Anthropic Messages to the channel."""

from routing.engine.transformer import Transformer


class Anthropic(Transformer):
    """Names the format of a channel whose provider offers several."""

    name = "anthropic"
    summary = "Speaks Anthropic Messages to the channel."
    format = "anthropic"
