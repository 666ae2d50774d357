"""What a message says, part by part: text, pictures, files, sound, film, and the cache marks on them."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote_to_bytes

from channels_app.engine.capabilities import Capabilities
from routing.engine.formats.openai_chat.fields import Fields, wrong
from routing.engine.formats.openai_chat.vocabulary import FORMAT
from routing.engine.losses import Losses
from routing.engine.messages import CacheMark, Media, MediaKind, Native, Part, Reasoning, Text

JSON = dict[str, Any]

#: How the base64 of well-known files begins.
_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
_EXTENSIONS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
#: Names of sound formats that are not the end of their media type.
_SOUNDS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a"}
_UNKNOWN = "application/octet-stream"
_SAYS_NOTHING = frozenset({"", _UNKNOWN, "image/*"})
_PDF = "application/pdf"
_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


# --- from a client ---------------------------------------------------------------------------------------------------


def read_content(value: Any, path: str) -> list[Part]:
    """Return the parts of a message's content: a string, a list of parts, or one part alone; none for null or "".

    Raises:
        BadRequest: a part lacks what its type promises.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Text(value)]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise wrong(path, value, "a string or a list of parts")
    parts: list[Part] = []
    for place, each in enumerate(value):
        if (part := _read_part(each, f"{path}[{place}]")) is not None:
            parts.append(part)
    return parts


def _read_part(value: Any, path: str) -> Part | None:
    if isinstance(value, str):
        return Text(value) if value else None
    part = Fields(value, path)
    kind = part.text("type") or ("text" if "text" in part.members else "")
    match kind:
        case "text" | "input_text" | "output_text":
            text = part.text("text")
            return Text(text, cache=cache_mark(part)) if text else None
        case "refusal":
            return Text(part.text("refusal"), is_refusal=True)
        case "image_url" | "input_image":
            return _linked(part, "image_url", "image")
        case "audio_url" | "video_url":
            return _linked(part, kind, _KINDS[kind.removesuffix("_url")])
        case "input_audio":
            return _sound(part)
        case "file" | "input_file":
            return _file(part)
        case "thinking":
            return Reasoning(tuple(text for text in (thinking_text(part.get("thinking")),) if text))
        case "":
            raise wrong(f"{path}.type", None, "the type of the part, such as `text`")
        case _:
            return Native(FORMAT, kind, value)


def thinking_text(value: Any) -> str:
    """Return the text of a `thinking` part: a string, or a list of text parts."""
    if isinstance(value, list):
        return "".join(thinking_text(each.get("text")) for each in value if isinstance(each, dict))
    return value if isinstance(value, str) else ""


def _linked(part: Fields, name: str, kind: MediaKind) -> Media:
    """Return what an `image_url` part and its kin show: `{url, detail}`, or the URL alone."""
    link = Fields({"url": part.get(name)}, part.path) if isinstance(part.get(name), str) else part.inner(name)
    url = link.needed("url")
    detail = link.text("detail") or part.text("detail")
    media = media_of(kind, url)
    if media.media_type == _PDF:
        # Many clients have no other part for it.
        return Media("document", _PDF, data=media.data, title=part.text("filename"), cache=cache_mark(part))
    return Media(kind, media.media_type, data=media.data, url=media.url, detail=detail, cache=cache_mark(part))


def media_of(kind: MediaKind, url: str) -> Media:
    """Return media by a URL, a data URI, or the base64 of a well-known kind of file."""
    if url[:5].lower() == "data:":
        media_type, data = _data_uri(url)
        return Media(kind, _sniffed(data) or media_type if media_type in _SAYS_NOTHING else media_type, data=data)
    if sniffed := _sniffed(url):
        return Media(kind, sniffed, data=url)
    return Media(kind, url=url)


def _data_uri(uri: str) -> tuple[str, str]:
    """Return the media type and the base64 of a data URI (RFC 2397)."""
    head, _, data = uri[5:].partition(",")
    media_type, *parameters = head.split(";")
    if "base64" not in (each.strip().lower() for each in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    media_type = media_type.strip().lower()
    return "image/jpeg" if media_type == "image/jpg" else media_type, data


def _sniffed(data: str) -> str:
    return next((media_type for magic, media_type in _MAGIC.items() if data.startswith(magic)), "")


def _sound(part: Fields) -> Media:
    sound = part.inner("input_audio")
    data, word = sound.needed("data"), sound.text("format")
    if data[:5].lower() == "data:":
        media_type, data = _data_uri(data)
    else:
        media_type = f"audio/{word or 'wav'}"
    return Media("audio", media_type, data=data, cache=cache_mark(part))


def _file(part: Fields) -> Media:
    file = part.inner("file") if "file" in part.members else part
    title, cache = file.text("filename"), cache_mark(part)
    if file_id := file.text("file_id"):
        return Media("document", file_id=file_id, title=title, cache=cache)
    data = file.text("file_data") or file.needed("file_url")
    if "://" in data[:12]:
        return Media("document", url=data, title=title, cache=cache)
    media_type = ""
    if data[:5].lower() == "data:":
        media_type, data = _data_uri(data)
    if media_type in _SAYS_NOTHING:
        media_type = _sniffed(data) or _TYPES.get(title.rpartition(".")[2].lower(), _UNKNOWN)
    kind = _KINDS.get(media_type.partition("/")[0], "document")
    return Media(kind, media_type, data=data, title=title, cache=cache)


def cache_mark(part: Fields) -> CacheMark | None:
    """Return the cache mark on a part, message or tool, in either spelling."""
    if isinstance(mark := part.get("cache_control"), dict) or isinstance(
        mark := part.get("prompt_cache_breakpoint"), dict
    ):
        ttl = mark.get("ttl")
        return CacheMark(ttl if isinstance(ttl, str) else "")
    return None


# --- to an upstream --------------------------------------------------------------------------------------------------


def write_mark(cache: CacheMark | None, can: Capabilities) -> JSON:
    """Return the member that marks a part for the upstream's cache; empty where it knows none."""
    if cache is None:
        return {}
    if can.cache_control:
        ttl = {"30m": "1h", "12h": "1h"}.get(cache.ttl, cache.ttl)
        return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}
    if can.cache_breakpoints:
        # Five minutes are less than the least that can be said.
        ttl = {"5m": "", "1h": "30m"}.get(cache.ttl, cache.ttl)
        return {"prompt_cache_breakpoint": {"mode": "explicit", **({"ttl": ttl} if ttl else {})}}
    return {}


def write_text(part: Text, can: Capabilities) -> JSON:
    """Return a text part."""
    return {"type": "text", "text": part.text, **write_mark(part.cache, can)}


def write_media(media: Media, can: Capabilities, losses: Losses) -> JSON | None:
    """Return the part for a medium, None where there is none for it; what is lost is noted."""
    if media.context:
        losses.dropped("context")
    if media.text:
        return write_text(Text(titled(media), cache=media.cache), can)
    shown = _write_file(media, can) if media.kind == "document" or media.file_id else _write_shown(media)
    if shown is None:
        losses.dropped(media.kind)
        return None
    return {**shown, **write_mark(media.cache, can)}


def titled(document: Media) -> str:
    """Return a plain-text document as text: its title on a line, then what it says."""
    return f"{document.title}\n\n{document.text}" if document.title else document.text


def _write_file(media: Media, can: Capabilities) -> JSON | None:
    if media.file_id:
        named = {"filename": media.title} if media.title else {}
        return {"type": "file", "file": {"file_id": media.file_id, **named}}
    if not media.data:
        return None
    media_type = media.media_type or _sniffed(media.data) or _UNKNOWN
    if can.document_urls:
        named = {"document_name": media.title} if media.title else {}
        return {"type": "document_url", "document_url": data_uri(media_type, media.data), **named}
    file = {"filename": _file_name(media.title, media_type), "file_data": data_uri(media_type, media.data)}
    return {"type": "file", "file": file}


def _file_name(title: str, media_type: str) -> str:
    """Return a name that ends in what the file is: upstreams go by that."""
    extension = _EXTENSIONS.get(media_type)
    if extension is None:
        return title or "document"
    title = title or "document"
    return title if title.lower().endswith(f".{extension}") else f"{title}.{extension}"


def _write_shown(media: Media) -> JSON | None:
    if media.kind == "audio" and media.data:
        word = media.media_type.partition("/")[2].partition(";")[0].lower()
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": _SOUNDS.get(word, word or "wav")}}
    url = media.url or (data_uri(media.media_type or _sniffed(media.data), media.data) if media.data else "")
    if not url:
        return None
    name = f"{media.kind}_url"
    return {"type": name, name: {"url": url, **({"detail": media.detail} if media.detail else {})}}


def data_uri(media_type: str, data: str) -> str:
    """Return base64 as a data URI."""
    return f"data:{media_type or _UNKNOWN};base64,{data}"
