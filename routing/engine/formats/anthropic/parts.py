"""A request's content blocks as parts of the canonical conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.formats.anthropic.shape import Object, flag_of, list_of, object_of, rest_of, text_of, wrong
from routing.engine.formats.anthropic.vocabulary import NAME
from routing.engine.messages import (
    CacheMark,
    Citation,
    Media,
    MediaKind,
    Native,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from routing.engine.provenance import PREFIX, unwrap

_encode = msgspec.json.Encoder().encode

_CALL_MEMBERS = frozenset({"type", "id", "name", "input", "cache_control"})
_RESULT_MEMBERS = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
_MEDIA_MEMBERS = frozenset({"type", "source", "title", "context", "citations", "cache_control"})


def parts_of(content: Any, path: str) -> tuple[Part, ...]:
    """Return the parts of a message's content: text, a block, or a list of blocks.

    Raises:
        BadRequest: something is not of the shape that the format gives it.
    """
    if isinstance(content, str):
        return (Text(content),)
    blocks = [content] if isinstance(content, dict) else content
    if not isinstance(blocks, list | None):
        raise wrong(path, "a string or a list of blocks", content)
    parts = [part_of(block, f"{path}[{place}]") for place, block in enumerate(blocks or ())]
    return tuple(_with_call_states(parts))


def part_of(block: Any, path: str) -> Part:
    """Return one block as a part; one that only this format has as `Native`."""
    if isinstance(block, str):
        return Text(block)
    block = object_of(block, path)
    kind = block.get("type")
    if not isinstance(kind, str):
        raise wrong(f"{path}.type", "the name of a block", kind)
    reader = _READERS.get(kind)
    return reader(block, path) if reader else Native(NAME, kind, block)


def text_part(block: Object, path: str) -> Text:
    """Return a text block."""
    text = text_of(block.get("text"), f"{path}.text")
    return Text(text, citations=_citations(block.get("citations")), cache=mark_of(block, path))


def mark_of(members: Object, path: str) -> CacheMark | None:
    """Return the cache breakpoint of a block, a tool, or the whole request."""
    said = members.get("cache_control")
    if said is None:
        return None
    place = f"{path}.cache_control" if path else "cache_control"
    return CacheMark(text_of(object_of(said, place).get("ttl"), f"{place}.ttl"))


def state_of(slot: str) -> Opaque | None:
    """Return what an opaque slot holds; None when that is nothing, or our mark of thinking without a state."""
    state = unwrap(slot) if slot else None
    return state if state is not None and state.blob else None


def _with_call_states(parts: Iterable[Part]) -> Iterable[Part]:
    """Yield the parts with the state that a call lent to the thinking before it back in its place."""
    lent: Opaque | None = None
    for part in parts:
        if isinstance(part, Reasoning) and part.state is not None and part.state.place == "call":
            lent = part.state
            if part.texts:
                yield replace(part, state=None)
        elif isinstance(part, ToolCall) and lent is not None:
            yield replace(part, state=lent)
            lent = None
        else:
            yield part


def _citations(said: Any) -> tuple[Citation, ...]:
    return tuple(map(citation_of, filter(_is_object, said))) if isinstance(said, list) else ()


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def citation_of(said: Object, start: int | None = None, end: int | None = None) -> Citation:
    """Return a citation. One that the gateway made of another format's says so in its index: it is nobody's own."""
    url, title = said.get("url"), said.get("title") or said.get("document_title")
    quote, index = said.get("cited_text"), said.get("encrypted_index")
    is_made_up = isinstance(index, str) and index.startswith(PREFIX)
    return Citation(
        url if isinstance(url, str) else "",
        title if isinstance(title, str) else "",
        start,
        end,
        quote if isinstance(quote, str) else "",
        native=None if is_made_up else said,
        format="" if is_made_up else NAME,
    )


def _image(block: Object, path: str) -> Part:
    return _media(block, path, "image") or Native(NAME, "image", block)


def _document(block: Object, path: str) -> Part:
    return _media(block, path, "document") or _written_document(block, path) or Native(NAME, "document", block)


def _media(block: Object, path: str, kind: MediaKind) -> Media | None:
    """Return an image or a document by its source, None when that is one of blocks or unknown."""
    source = object_of(block.get("source"), f"{path}.source")
    place, said = f"{path}.source", source.get("type")
    media = Media(
        kind,
        text_of(source.get("media_type"), f"{place}.media_type"),
        title=text_of(block.get("title"), f"{path}.title"),
        context=text_of(block.get("context"), f"{path}.context"),
        wants_citations=_wants_citations(block, path),
        cache=mark_of(block, path),
        native=rest_of(block, _MEDIA_MEMBERS) or None,
    )
    if said == "base64":
        return replace(media, data=text_of(source.get("data"), f"{place}.data"))
    if said == "url":
        return _linked(media, text_of(source.get("url"), f"{place}.url"))
    if said == "file":
        return replace(media, file_id=text_of(source.get("file_id"), f"{place}.file_id"))
    if said == "text":
        return replace(
            media, media_type=media.media_type or "text/plain", text=text_of(source.get("data"), f"{place}.data")
        )
    if not isinstance(said, str):
        raise wrong(f"{place}.type", "base64, url, file, text or content", said)
    return None


def _linked(media: Media, url: str) -> Media:
    head, is_inline, data = url.partition(";base64,")
    if is_inline and head.startswith("data:"):
        return replace(media, media_type=head[5:], data=data)
    return replace(media, url=url)


def _wants_citations(block: Object, path: str) -> bool:
    wish = block.get("citations")
    return isinstance(wish, dict) and bool(flag_of(wish.get("enabled"), f"{path}.citations.enabled"))


def _written_document(block: Object, path: str) -> Media | None:
    """Return a document of text blocks: its text for all formats, its blocks for this one; None with pictures."""
    source = object_of(block.get("source"), f"{path}.source")
    content = parts_of(source.get("content"), f"{path}.source.content")
    if source.get("type") != "content" or not all(isinstance(part, Text) for part in content):
        return None
    return Media(
        "document",
        "text/plain",
        text="\n\n".join(part.text for part in content if isinstance(part, Text)),
        title=text_of(block.get("title"), f"{path}.title"),
        context=text_of(block.get("context"), f"{path}.context"),
        wants_citations=_wants_citations(block, path),
        cache=mark_of(block, path),
        native={**rest_of(block, _MEDIA_MEMBERS), "source": source},
    )


def _search_result(block: Object, path: str) -> Part:
    """Return a search result as what others can read of it, a document, and as the block it is for this format."""
    content = [part_of(each, f"{path}.content") for each in list_of(block.get("content"), f"{path}.content")]
    said = [text_of(block.get("source"), f"{path}.source"), *(part.text for part in content if isinstance(part, Text))]
    return Media(
        "document",
        "text/plain",
        text="\n\n".join(filter(None, said)),
        title=text_of(block.get("title"), f"{path}.title"),
        wants_citations=_wants_citations(block, path),
        cache=mark_of(block, path),
        native=rest_of(block, frozenset({"cache_control"})),
    )


def _thinking(block: Object, path: str) -> Part:
    text = text_of(block.get("thinking"), f"{path}.thinking")
    state = state_of(text_of(block.get("signature"), f"{path}.signature"))
    return Reasoning((text,) if text else (), state)


def _redacted_thinking(block: Object, path: str) -> Part:
    state = state_of(text_of(block.get("data"), f"{path}.data"))
    is_own = state is not None and (state.origin is None or state.origin.format == NAME)
    return Reasoning(state=state, is_redacted=is_own)


def _tool_use(block: Object, path: str) -> Part:
    given = block.get("input")
    name = text_of(block.get("name"), f"{path}.name")
    if not name:
        raise wrong(f"{path}.name", "the name of a tool", block.get("name"))
    return ToolCall(
        text_of(block.get("id"), f"{path}.id"),
        name,
        given if isinstance(given, str) else "" if given is None else _encode(given).decode(),
        cache=mark_of(block, path),
        native=rest_of(block, _CALL_MEMBERS) or None,
    )


def _tool_result(block: Object, path: str) -> Part:
    content = block.get("content")
    if isinstance(content, dict) and "type" not in content:
        content = _encode(content).decode()
    return ToolResult(
        text_of(block.get("tool_use_id"), f"{path}.tool_use_id"),
        tuple(map(_inside, parts_of(content, f"{path}.content"))),
        bool(flag_of(block.get("is_error"), f"{path}.is_error")),
        cache=mark_of(block, path),
        native=rest_of(block, _RESULT_MEMBERS) or None,
    )


def _inside(part: Part) -> Text | Media | Native:
    """Return what may stand inside a tool's result; nobody knows what to make of a call or a thought there."""
    if isinstance(part, Text | Media | Native):
        return part
    return Text(part.text) if isinstance(part, Reasoning) else Text("")


_READERS: dict[str, Callable[[Object, str], Part]] = {
    "text": text_part,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
