"""Where an answer's words come from: `groundingMetadata` and `citationMetadata`, there and back.

Gemini counts offsets in bytes of UTF-8, everything here in characters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from routing.engine.formats.gemini.members import Members, camel
from routing.engine.messages import Citation

FORMAT = "gemini"
#: Texts are measured in pieces of this many characters, so that one offset costs no more than one piece.
_PIECE_CHARS = 1024
#: Kinds of sources; each has an address and a title.
_SOURCES = ("web", "retrievedContext", "maps", "image")


class Offsets:
    """Bytes → characters within a text that grows."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._bytes: list[int] = [0]
        self._chars: list[int] = [0]

    def add(self, text: str) -> None:
        """Add text."""
        for start in range(0, len(text), _PIECE_CHARS):
            piece = text[start : start + _PIECE_CHARS]
            self._pieces.append(piece)
            size = len(piece) if piece.isascii() else len(piece.encode("utf-8", "replace"))
            self._bytes.append(self._bytes[-1] + size)
            self._chars.append(self._chars[-1] + len(piece))

    def char_at(self, offset: int) -> int:
        """Return the character at a byte, the end of the text for one beyond it."""
        place = bisect_right(self._bytes, offset) - 1
        if place >= len(self._pieces):
            return self._chars[-1]
        before = self._pieces[place].encode("utf-8", "replace")[: offset - self._bytes[place]]
        return self._chars[place] + len(before.decode("utf-8", "ignore"))

    @property
    def size(self) -> int:
        """Return the text's length in bytes."""
        return self._bytes[-1]


def decode_grounding(metadata: Any) -> Iterator[tuple[Citation, int]]:
    """Return the sources of an answer, offsets in bytes, each with the number of the part they are counted in."""
    if not isinstance(metadata, dict):
        return
    metadata = camel(metadata)
    chunks = [_source(chunk) for chunk in _objects(metadata.get("groundingChunks"))]
    used: set[int] = set()
    for support in _objects(metadata.get("groundingSupports")):
        segment = camel(support["segment"]) if isinstance(support.get("segment"), dict) else {}
        quote = segment.get("text")
        numbers = support.get("groundingChunkIndices")
        told: set[int] = set()
        for number in numbers if isinstance(numbers, list) else ():
            is_new = type(number) is int and 0 <= number < len(chunks) and number not in told
            source = chunks[number] if is_new else None
            if source is not None:
                told.add(number)
                part = _whole(segment.get("partIndex")) or 0
                yield _located(source, segment, quote if isinstance(quote, str) else ""), part
        used |= told
    for number, chunk in enumerate(chunks):
        if chunk is not None and number not in used:
            yield chunk, 0


def decode_citations(metadata: Any) -> Iterator[tuple[Citation, int]]:
    """Return the works that an answer recites, in the same way."""
    if isinstance(metadata, dict):
        for cited in _objects(metadata.get("citations", metadata.get("citationSources"))):
            url, title = cited.get("uri"), cited.get("title")
            if isinstance(url, str) and url:
                yield _located(Citation(url, title if isinstance(title, str) else ""), cited, ""), 0


def _source(chunk: Members) -> Citation | None:
    kind = next((kind for kind in _SOURCES if isinstance(chunk.get(kind), dict)), "")
    source = camel(chunk[kind]) if kind else {}
    url = source.get("uri") or source.get("sourceUri")
    title = source.get("title")
    if not isinstance(url, str) or not url:
        return None
    return Citation(url, title if isinstance(title, str) else "", native=chunk, format=FORMAT)


def _located(citation: Citation, segment: Members, quote: str) -> Citation:
    end = _whole(segment.get("endIndex"))
    start = (_whole(segment.get("startIndex")) or 0) if end is not None else None
    return Citation(citation.url, citation.title, start, end, quote, citation.native, citation.format)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _objects(value: Any) -> list[Members]:
    return [camel(each) for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def bases_of(parts: list[Any]) -> list[int]:
    """Return at which byte of the answer's text each part of a whole answer begins."""
    bases, size = [], 0
    for part in parts:
        bases.append(size)
        text = part.get("text") if isinstance(part, dict) and part.get("thought") is not True else None
        if isinstance(text, str):
            size += len(text.encode("utf-8", "replace"))
    return bases


def in_chars(citation: Citation, offsets: Offsets, base: int) -> Citation:
    """Return a source whose offsets count characters of the answer's text; `base` is where its part begins."""
    if citation.end is None:
        return citation
    start, end = offsets.char_at(base + (citation.start or 0)), offsets.char_at(base + citation.end)
    return replace(citation, start=start, end=max(start, end))


def encode_grounding(citations: Iterable[Citation], texts: Iterable[tuple[int, str]]) -> Members | None:
    """Return the sources of an answer whose texts are given with the number of the part each is in.

    A source that says nothing of where it was used stands among the chunks only.
    """
    chunks: list[Members] = []
    known: dict[tuple[str, str], int] = {}
    used: dict[tuple[int, int, str], list[int]] = {}
    for citation in citations:
        key = (citation.url, citation.title)
        if key not in known:
            known[key] = len(chunks)
            own = citation.native if citation.format == FORMAT and isinstance(citation.native, dict) else None
            chunks.append(own or {"web": {"uri": citation.url, "title": citation.title or citation.url}})
        if citation.end is not None:
            place = (citation.start or 0, citation.end, citation.quote)
            used.setdefault(place, []).append(known[key])
    if not chunks:
        return None
    spots = _Spots(texts, sorted({offset for start, end, _ in used for offset in (start, end)}))
    supports = [
        {"segment": spots.segment(start, end, quote), "groundingChunkIndices": numbers}
        for (start, end, quote), numbers in used.items()
    ]
    return {"groundingChunks": chunks, "groundingSupports": supports}


class _Spots:
    """Characters of the joined text → the part they are in, and the byte there."""

    def __init__(self, texts: Iterable[tuple[int, str]], offsets: list[int]) -> None:
        self._spots: dict[int, tuple[int, int]] = {}
        wanted = iter([*offsets, -1])
        offset = next(wanted)
        begun = 0
        part = size = 0
        for part, text in texts:
            size, done = 0, 0
            while 0 <= offset <= begun + len(text):
                size += len(text[done : offset - begun].encode("utf-8", "replace"))
                done = offset - begun
                self._spots[offset] = (part, size)
                offset = next(wanted)
            size += len(text[done:].encode("utf-8", "replace"))
            begun += len(text)
        while offset >= 0:
            self._spots[offset] = (part, size)
            offset = next(wanted)

    def segment(self, start: int, end: int, quote: str) -> Members:
        part, first = self._spots[start]
        last_part, last = self._spots[end]
        segment: Members = {"startIndex": first if part == last_part else 0, "endIndex": last}
        if last_part:
            segment["partIndex"] = last_part
        if quote:
            segment["text"] = quote
        return segment
