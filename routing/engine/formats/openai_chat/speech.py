"""Pieces of an answer that whole answers and streams write alike."""

from __future__ import annotations

from typing import Any

from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.content import data_uri
from routing.engine.formats.openai_chat.vocabulary import ENCRYPTED, FORMAT
from routing.engine.messages import Citation, Media, Native, Opaque
from routing.engine.provenance import wrap

JSON = dict[str, Any]


def write_detail(state: Opaque, place: int, start: int, end: int, is_redacted: bool) -> JSON:
    """Return the entry of `reasoning_details` that carries a state.

    `start` and `end` are the passage of the reasoning text that it belongs to; clients send the entry back as it is.
    """
    detail: JSON = {"type": ENCRYPTED, "data": wrap(state), "index": place, "start": start, "end": end}
    return {**detail, "redacted": True} if is_redacted else detail


def write_call_state(state: Opaque | None) -> JSON:
    """Return the member of a call that carries its state, empty where it has none."""
    if state is None or not state.blob:
        return {}
    return {"extra_content": {"google": {"thought_signature": wrap(state)}}}


def write_citation(citation: Citation, start: int, end: int) -> JSON:
    """Return an annotation; `start` and `end` are the passage it stands for where it does not say so itself."""
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title,
            "start_index": citation.start if citation.start is not None else start,
            "end_index": citation.end if citation.end is not None else end,
        },
    }


def write_image(image: Media) -> JSON:
    """Return a picture that the model made."""
    return {"type": "image_url", "image_url": {"url": image.url or data_uri(image.media_type, image.data)}}


def own_audio(part: Media | Native) -> JSON | None:
    """Return speech that an upstream of this format made, which only its own clients can hear."""
    if not isinstance(part, Native) or part.format != FORMAT or part.kind != "audio":
        return None
    return part.value if isinstance(part.value, dict) else None


def note_lost(part: Media | Native, exchange: Exchange) -> None:
    """Note a part of an answer that has no place in this format."""
    exchange.answer_losses.dropped(part.kind)
