"""Speak Gemini generateContent to the channel."""

from routing.engine.transformer import Transformer


class Gemini(Transformer):
    """Names the format of a channel whose provider offers several."""

    name = "gemini"
    summary = "Speaks Gemini generateContent to the channel."
    format = "gemini"
