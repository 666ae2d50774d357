"""Formats of media in Converse's words, by media type, by the end of the title, or by how the data begins."""

from __future__ import annotations

from routing.engine.errors import BadRequest
from routing.engine.messages import Media

_DOCUMENTS = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
    "application/json": "txt",
    "application/xml": "txt",
}
_ENDINGS = frozenset({"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"})
_OTHERS = {
    "image": {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"},
    "video": {
        "mp4": "mp4",
        "quicktime": "mov",
        "mov": "mov",
        "webm": "webm",
        "x-matroska": "mkv",
        "x-flv": "flv",
        "mpeg": "mpeg",
        "x-ms-wmv": "wmv",
        "3gpp": "three_gp",
    },
    "audio": {
        "mpeg": "mp3",
        "mp3": "mp3",
        "wav": "wav",
        "x-wav": "wav",
        "wave": "wav",
        "aac": "aac",
        "flac": "flac",
        "ogg": "ogg",
        "opus": "opus",
        "webm": "webm",
        "mp4": "mp4",
        "m4a": "m4a",
        "x-m4a": "m4a",
        "pcm": "pcm",
    },
}
#: How base64 begins, for media whose client did not say what they are.
_STARTS = {"iVBOR": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp", "JVBERi": "pdf"}


def media_format(media: Media) -> str:
    """Return the format of a picture, film or recording.

    Raises:
        BadRequest: there is no word for it.
    """
    known = _OTHERS[media.kind].get(media.media_type.partition("/")[2].partition(";")[0].lower())
    return known or (_by_data(media) if media.kind == "image" else None) or _refuse(media)


def document_format(media: Media) -> str:
    """Return the format of a document.

    Raises:
        BadRequest: there is no word for it.
    """
    media_type = media.media_type.partition(";")[0].lower()
    ending = media.title.rpartition(".")[2].lower()
    known = _DOCUMENTS.get(media_type) or (ending if ending in _ENDINGS else None)
    if known is None and (media_type.startswith("text/") or not (media_type or media.url)):
        known = _by_data(media) or "txt"
    return known or _refuse(media)


def _by_data(media: Media) -> str | None:
    return next((word for start, word in _STARTS.items() if media.data.startswith(start)), None)


def _refuse(media: Media) -> str:
    what = media.media_type or f"{media.kind} of an unknown type"
    raise BadRequest(
        f"This model is served over Converse, which cannot take {what} as {media.kind}. Send it in a common format.",
        code="unsupported_parameter",
        param="messages",
    )
