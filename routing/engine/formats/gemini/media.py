"""Pictures, recordings, films and documents: `inlineData` and `fileData`, there and back."""

from __future__ import annotations

import base64
import binascii
from mimetypes import guess_type
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini.members import Members, an_object, text
from routing.engine.losses import Losses
from routing.engine.messages import Media, MediaKind, ToolResult

#: Files that were uploaded to the API itself: nobody else can open their addresses.
_FILES_HOST = "generativelanguage.googleapis.com"
_FILMS = frozenset({"www.youtube.com", "youtube.com", "youtu.be"})
_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}
_FALLBACKS = {"image": "image/jpeg", "document": "application/pdf", "audio": "audio/wav", "video": "video/mp4"}
#: How the base64 of a file of each type begins.
_MAGIC = (
    ("iVBORw", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"),
)
_TO_STANDARD = str.maketrans("-_", "+/")
_DETAILS = {"LOW": "low", "MEDIUM": "auto", "HIGH": "high", "ULTRA_HIGH": "high"}


def decode_media(part: Members, path: str) -> Media | None:
    """Return what `inlineData` or `fileData` of a part holds, None where it has neither.

    Raises:
        BadRequest: it is not of the shape that the format gives it.
    """
    if part.get("inlineData") is not None:
        return _inline(an_object(part["inlineData"], f"{path}.inlineData"), f"{path}.inlineData.")
    if part.get("fileData") is not None:
        return _file(an_object(part["fileData"], f"{path}.fileData"), f"{path}.fileData.")
    return None


def _inline(blob: Members, path: str) -> Media:
    media_type = text(blob, "mimeType", path).lower()
    title = text(blob, "displayName", path)
    # google-genai writes base64 in the alphabet for URLs, which others refuse.
    data = text(blob, "data", path).translate(_TO_STANDARD)
    if media_type.startswith("text/"):
        try:
            plain = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, ValueError):
            plain = ""
        if plain:
            return Media("document", media_type, text=plain, title=title)
    media_type = media_type or _sniffed(data)
    return Media(_kind(media_type), media_type, data=data, title=title)


def _file(file: Members, path: str) -> Media:
    url = text(file, "fileUri", path)
    if not url:
        raise BadRequest(f"`{path}fileUri` is missing: say where the file lies.", param=f"{path}fileUri")
    media_type = text(file, "mimeType", path).lower()
    title = text(file, "displayName", path)
    host = _host(url)
    if not media_type and host in _FILMS:
        return Media("video", url=url, title=title)
    kind = _kind(media_type or _guessed(url))
    if host == _FILES_HOST or not (host or url.startswith("gs:")):
        return Media(kind, media_type, file_id=url, title=title)
    return Media(kind, media_type, url=url, title=title)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "") if url.startswith(("http:", "https:")) else ""
    except ValueError:
        return ""


def _guessed(url: str) -> str:
    """Return the media type that an address's extension stands for, "" when it has none that is known."""
    return guess_type("file" + PurePosixPath(url.partition("?")[0].partition("#")[0]).suffix)[0] or ""


def _kind(media_type: str) -> MediaKind:
    return _KINDS.get(media_type.partition("/")[0], "document")


def decode_detail(resolution: Any) -> str:
    """Return the detail that a part's `mediaResolution` asks for, "" where it asks for none."""
    level = resolution.get("level") if isinstance(resolution, dict) else resolution
    return _DETAILS.get(level.removeprefix("MEDIA_RESOLUTION_"), "") if isinstance(level, str) else ""


def general_detail(exchange: Exchange) -> str:
    """Return the detail that is told once for all pictures, "" where each tells its own.

    A client of this format says it so; for others it is the one that all pictures share, where the model does not know
    a resolution of single parts.
    """
    request = exchange.request
    if (said := request.native.get("mediaResolution")) is not None:
        return decode_detail(said)
    if exchange.target.capabilities.tool_result_media:
        return ""
    parts = [part for message in request.messages for part in message.parts]
    inner = [each for part in parts if isinstance(part, ToolResult) for each in part.parts]
    details = {each.detail for each in (*parts, *inner) if isinstance(each, Media) and each.kind == "image"}
    return details.pop() if len(details) == 1 and details <= {"low", "high"} else ""


def resolution_of(detail: str) -> str:
    """Return the format's word for a detail."""
    return f"MEDIA_RESOLUTION_{detail.upper()}"


def encode_media(media: Media, losses: Losses, *, takes_resolution: bool) -> Members:
    """Return the part that holds something; a plain-text document becomes text."""
    if media.context:
        losses.dropped("context")
    if media.text:
        return {"text": f"{media.title}\n\n{media.text}" if media.title else media.text}
    part = encode_blob(media)
    if media.detail in {"low", "high"}:
        if takes_resolution:
            part["mediaResolution"] = {"level": resolution_of(media.detail)}
        else:
            losses.dropped("detail")
    return part


def encode_blob(media: Media) -> Members:
    """Return the `inlineData` or `fileData` of something that is not plain text."""
    title = {"displayName": media.title} if media.title else {}
    if media.data:
        media_type = media.media_type or _sniffed(media.data) or _FALLBACKS[media.kind]
        return {"inlineData": {"mimeType": media_type, "data": media.data, **title}}
    address = media.url or media.file_id
    media_type = media.media_type or _guessed(address)
    if not (media_type or media.file_id or _host(address) in _FILMS) and media.kind in {"image", "document"}:
        media_type = _FALLBACKS[media.kind]
    return {"fileData": {**({"mimeType": media_type} if media_type else {}), "fileUri": address, **title}}


def _sniffed(data: str) -> str:
    return next((media_type for magic, media_type in _MAGIC if data.startswith(magic)), "")
