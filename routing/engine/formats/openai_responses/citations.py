"""Citations of an answer's text as annotations, both ways."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from routing.engine.formats.openai_responses.vocabulary import NAME
from routing.engine.messages import Citation


def citation_of(annotation: Any, start_of_part: int = 0) -> Citation | None:
    """Return what an annotation says, None for one of another shape.

    Annotations count from the start of their part; `start_of_part` is where it begins in the whole text.
    """
    if not isinstance(annotation, dict):
        return None
    kind = annotation.get("type")
    if kind == "url_citation" or "url" in annotation:
        citation = Citation(_text(annotation, "url"), _text(annotation, "title"), native=annotation, format=NAME)
        start, end = annotation.get("start_index"), annotation.get("end_index")
        if isinstance(start, int) and isinstance(end, int):
            return replace(citation, start=start + start_of_part, end=end + start_of_part)
        return citation
    return Citation(title=_text(annotation, "filename"), native=annotation, format=NAME) if kind else None


def annotation_of(citation: Citation, start_of_part: int, chars: int) -> dict[str, Any] | None:
    """Return the annotation for a part that begins at `start_of_part` and has so many characters.

    A source without an address has no place here: None.
    """
    if citation.format == NAME and isinstance(citation.native, dict):
        return citation.native
    if not citation.url:
        return None
    start = 0 if citation.start is None else citation.start - start_of_part
    end = chars if citation.end is None else citation.end - start_of_part
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": min(max(start, 0), chars),
        "end_index": min(max(end, 0), chars),
    }


def _text(annotation: dict[str, Any], name: str) -> str:
    value = annotation.get(name)
    return value if isinstance(value, str) else ""
