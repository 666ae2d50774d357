"""Content parts of messages and tool outputs: text, images, files, both ways."""

from __future__ import annotations

import base64
import mimetypes
from typing import Any
from urllib.parse import unquote_to_bytes

from routing.engine.formats.openai_responses import fields
from routing.engine.formats.openai_responses.citations import citation_of
from routing.engine.formats.openai_responses.vocabulary import NAME
from routing.engine.losses import Losses
from routing.engine.messages import CacheMark, Media, Native, Text

Piece = Text | Media | Native

# How files begin, in base64.
_BEGINNINGS = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
}
_PDF = "application/pdf"
#: Media types that say nothing, or are spelled as nobody else does.
_TYPES = {"application/octet-stream": "", "image/*": "", "image/jpg": "image/jpeg"}


def decode_content(content: Any, path: str) -> tuple[Piece, ...]:
    """Return the parts of a string or a list of content parts.

    Raises:
        BadRequest: it is neither, or a part is not of its shape.
    """
    if isinstance(content, str):
        return (Text(content),)
    if content is not None and not isinstance(content, list):
        raise fields.wrong(content, path, "a string or a list of parts")
    return tuple(_decode_part(part, f"{path}[{place}]") for place, part in enumerate(content or ()))


def _decode_part(part: Any, path: str) -> Piece:
    if isinstance(part, str):
        return Text(part)
    part = fields.record(part, path)
    kind = fields.text(part.get("type"), f"{path}.type")
    if kind in {"input_text", "output_text", "text"}:
        return _decode_text(part, path)
    if kind == "refusal":
        return Text(fields.text(part.get("refusal"), f"{path}.refusal"), is_refusal=True)
    if kind in {"input_image", "image_url"}:
        return _decode_image(part, path)
    if kind == "input_file":
        return _decode_file(part, path)
    if kind == "input_audio":
        audio = fields.record(part.get("input_audio"), f"{path}.input_audio")
        media_type = f"audio/{fields.text(audio.get('format'), f'{path}.input_audio.format') or 'wav'}"
        return Media("audio", media_type, data=fields.text(audio.get("data"), f"{path}.input_audio.data"))
    if not kind:
        raise fields.missing(f"{path}.type", "a part's type, such as `input_text`")
    return native_part(part, kind)


def native_part(part: dict[str, Any], kind: str) -> Native:
    """Return a content part that no other format has. Under `part`, to tell it from items, which stand beside it."""
    return Native(NAME, kind, {"part": part})


def _decode_text(part: dict[str, Any], path: str) -> Text:
    annotations = fields.rows(part.get("annotations"), f"{path}.annotations")
    return Text(
        fields.text(part.get("text"), f"{path}.text"),
        citations=tuple(found for each in annotations if (found := citation_of(each)) is not None),
        cache=_cache_mark(part),
    )


def _decode_image(part: dict[str, Any], path: str) -> Media:
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    url = fields.text(url, f"{path}.image_url")
    file_id = fields.text(part.get("file_id"), f"{path}.file_id")
    if not url and not file_id:
        raise fields.missing(f"{path}.image_url", "a URL, or a data URI in base64")
    media_type, data = data_of(url)
    media_type = media_type or (_type_of(data) if data else "")
    if media_type == _PDF:
        return Media("document", _PDF, data=data, cache=_cache_mark(part))
    return Media(
        "image",
        media_type,
        data=data,
        url="" if data else url,
        file_id="" if url else file_id,
        detail=fields.text(part.get("detail"), f"{path}.detail"),
        cache=_cache_mark(part),
    )


def _decode_file(part: dict[str, Any], path: str) -> Media:
    given = {name: fields.text(part.get(name), f"{path}.{name}") for name in ("file_data", "file_url", "file_id")}
    if not any(given.values()):
        raise fields.missing(f"{path}.file_data", "the file in base64; or name it by `file_url` or `file_id`")
    title = fields.text(part.get("filename"), f"{path}.filename")
    media_type, data = data_of(given["file_data"])
    data = data or given["file_data"]
    url = "" if data else given["file_url"]
    media_type = media_type or _type_of(data) or mimetypes.guess_type(title)[0] or _PDF if data else ""
    return Media(
        "document",
        media_type,
        data=data,
        url=url,
        file_id="" if data or url else given["file_id"],
        detail=fields.text(part.get("detail"), f"{path}.detail"),
        title=title,
        cache=_cache_mark(part),
    )


def data_of(uri: str) -> tuple[str, str]:
    """Return the media type and the base64 of a data URI (RFC 2397), both empty for any other text."""
    if uri[:5].lower() != "data:":
        return "", ""
    head, _, data = uri[5:].partition(",")
    media_type = _TYPES.get(media_type := head.partition(";")[0].strip().lower(), media_type)
    if not head.lower().endswith("base64"):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type, data


def _type_of(data: str) -> str:
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "")


def _cache_mark(part: dict[str, Any]) -> CacheMark | None:
    mark = part.get("prompt_cache_breakpoint")
    if not isinstance(mark, dict):
        return None
    ttl = mark.get("ttl")
    return CacheMark(ttl if isinstance(ttl, str) else "")


def encode_content(pieces: tuple[Piece, ...], losses: Losses, *, has_breakpoints: bool) -> list[dict[str, Any]]:
    """Return input parts; `has_breakpoints` says whether the upstream knows marks of what to cache."""
    written = []
    for piece in pieces:
        part = encode_part(piece, losses)
        if has_breakpoints and not isinstance(piece, Native) and piece.cache is not None:
            part["prompt_cache_breakpoint"] = breakpoint_of(piece.cache)
        written.append(part)
    return written


def breakpoint_of(mark: CacheMark) -> dict[str, Any]:
    """Return a mark of what to cache: as long as asked or longer; without a time it lives 30 minutes."""
    if mark.ttl in {"1h", "12h"}:
        return {"mode": "explicit", "ttl": "12h"}
    return {"mode": "explicit", **({"ttl": mark.ttl} if mark.ttl == "30m" else {})}


def encode_part(piece: Piece, losses: Losses) -> dict[str, Any]:
    """Return one input part."""
    if isinstance(piece, Text):
        return {"type": "input_text", "text": piece.text}
    if isinstance(piece, Native):
        part: dict[str, Any] = piece.value["part"]
        return part
    if piece.context:
        losses.dropped("context")
    if piece.text:
        return {"type": "input_text", "text": f"{piece.title}\n\n{piece.text}" if piece.title else piece.text}
    if piece.kind == "image":
        return _encode_image(piece)
    return _encode_file(piece)


def _encode_image(media: Media) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "input_image", "detail": media.detail or "auto"}
    if media.file_id:
        part["file_id"] = media.file_id
    else:
        part["image_url"] = media.url or _data_uri(media, "image/png")
    return part


def _encode_file(media: Media) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "input_file"}
    if media.detail:
        part["detail"] = media.detail
    if media.file_id:
        part["file_id"] = media.file_id
    elif media.url:
        part["file_url"] = media.url
    else:
        part["filename"] = _filename(media)
        part["file_data"] = _data_uri(media, _PDF)
    return part


def _data_uri(media: Media, default: str) -> str:
    return f"data:{media.media_type or default};base64,{media.data}"


def _filename(media: Media) -> str:
    """Return a file name with the ending of its type, by which upstreams tell what it is."""
    ending = mimetypes.guess_extension(media.media_type or _PDF) or ""
    name = media.title or "document"
    return name if mimetypes.guess_type(name)[0] else name + ending
