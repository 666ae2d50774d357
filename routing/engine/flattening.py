"""Richer parts in plain words: documents, tool results, the demand for JSON, for formats that have no other place."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import msgspec

from routing.engine.losses import Losses
from routing.engine.messages import Media, OutputFormat, Part, Text, ToolResult
from routing.engine.turns import NO_RESULT, joined

#: How the media types of texts begin.
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


def plain_text(media: Media) -> str | None:
    """Return a document's text under a line with its title; None for one that is no text."""
    text = media.text
    if not text and media.data and media.media_type.startswith(_TEXT_TYPES):
        try:
            text = base64.b64decode(media.data, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return None
    if not text:
        return None
    above = [line for line in (media.title, media.context) if line]
    return "\n".join((*above, text))


def text_and_media(parts: Iterable[Part]) -> tuple[list[Text], list[Media]]:
    """Return the texts, plain-text documents among them, and the media that are left."""
    texts: list[Text] = []
    media: list[Media] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part)
        elif isinstance(part, Media):
            text = plain_text(part) if part.kind == "document" else None
            if text is None:
                media.append(part)
            else:
                texts.append(Text(text))
    return texts, media


def result_text(result: ToolResult, losses: Losses) -> tuple[str, list[Media]]:
    """Return a tool's answer as one string, never an empty one, and the media for which it has no place.

    The string says when a picture follows elsewhere, and begins with `Error: ` where the format has no flag for it.
    """
    texts, media = text_and_media(result.parts)
    text = joined(texts)
    if media:
        losses.emulated("tool_result_media")
        note = f"[The tool's {media[0].kind} follows in the next user message.]"
        text = f"{text}\n\n{note}" if text else note
    text = text or NO_RESULT
    if result.is_error:
        losses.emulated("is_error")
        text = f"Error: {text}"
    return text, media


def json_instruction(output: OutputFormat) -> str:
    """Return what tells a model to answer in JSON that cannot be held to it otherwise."""
    if output.schema is None:
        return "Answer with one JSON object and nothing else: no prose before or after it, no code fence."
    about = f" It is {output.description.rstrip('.')}." if output.description else ""
    schema = msgspec.json.encode(output.schema).decode()
    return (
        "Answer with one JSON value that is valid against the JSON Schema below, and nothing else: no prose before or "
        f"after it, no code fence.{about}\n\n{schema}"
    )
