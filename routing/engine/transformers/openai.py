"""Speak Chat Completions to the channel."""

from routing.engine.transformer import Transformer


class OpenAI(Transformer):
    """Names the format of a channel whose provider offers several."""

    name = "openai"
    summary = "Speaks Chat Completions to the channel."
    format = "openai-chat"
