"""How many tokens a prompt has, by its characters: cheap, close, and never a download.

A text is mapped to classes of characters and a few patterns are counted, all of it in C; a weight for each pattern
gives the tokens. The weights were fitted to two public vocabularies over prose, code, JSON and twenty languages: of
texts of three thousand characters nearly nine in ten are within 10 %, and the sum over all of them within 1 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from routing.engine.messages import ChatRequest, Media, Native, Part, Reasoning, Text, Tool, ToolCall, ToolResult

Vocabulary = Literal["o200k", "claude"]

#: What a message, a tool and the tools together cost beside their texts.
MESSAGE_TOKENS = 4
TOOL_TOKENS = 8
TOOLS_TOKENS = {"o200k": 12, "claude": 300}
#: A picture of unknown size, and a page of a document of about so many bytes.
IMAGE_TOKENS = {"o200k": 765, "claude": 1500}
PAGE_TOKENS = 1500
PAGE_BYTES = 50_000

_encode = msgspec.json.Encoder().encode


def _class_of(byte: int) -> str:
    """Return the class of a character by its UTF-8 lead byte: roughly its script."""
    bounds = (
        *((10, "t"), (11, "n"), (13, "t"), (14, "n"), (32, "t"), (33, " "), (48, "p"), (58, "0"), (65, "p")),
        *((91, "A"), (97, "p"), (123, "a"), (128, "p"), (0xC4, "L"), (0xC8, "l"), (0xD0, "G"), (0xD4, "R")),
        *((0xD6, "B"), (0xD8, "H"), (0xE0, "B"), (0xE1, "I"), (0xE2, "V"), (0xE3, "q"), (0xE4, "J")),
        *((0xEA, "K"), (0xEE, "M"), (0x100, "S")),
    )
    return next(name for bound, name in bounds if byte < bound)


_CLASSES = bytes(ord(_class_of(byte)) for byte in range(256))
_CONTINUATION = bytes(range(0x80, 0xC0))


def _mask(classes: str) -> bytes:
    """Return a table that maps these classes to `x` and all others to `.`."""
    return bytes(ord("x") if chr(byte) in classes else ord(".") for byte in range(256))


_MASKS = {"word": "aALl", "caps": "A", "digits": "0", "marks": "p", "space": " nt", "line": "n"}
_TABLES = {name: _mask(classes) for name, classes in _MASKS.items()}
#: (mask, pattern) → weight: how often a run begins, and how long it goes on.
_RUNS: dict[Vocabulary, dict[tuple[str, bytes], float]] = {
    "o200k": {
        ("word", b".x"): 0.660,
        ("word", b"xxxxx"): 0.595,
        ("word", b"xxxxxxxx"): 0.197,
        ("caps", b"xx"): 0.188,
        ("digits", b".x"): 1.149,
        ("digits", b"xx"): 0.132,
        ("marks", b".x"): 0.700,
        ("marks", b"xx"): 0.026,
        ("marks", b"xxx"): 0.337,
        ("space", b"xxxx"): 0.073,
        ("line", b".x"): 1.498,
    },
    "claude": {
        ("word", b".x"): 0.861,
        ("word", b"xxxxx"): 0.286,
        ("word", b"xxxxxxxx"): 0.730,
        ("word", b"xxxxxxxxxxxx"): 0.040,
        ("caps", b"xx"): 0.173,
        ("digits", b".x"): 0.719,
        ("digits", b"xx"): 0.177,
        ("marks", b".x"): 0.864,
        ("marks", b"xxx"): 0.421,
        ("line", b".x"): 1.408,
    },
}
#: Class → weight of each character: Latin with accents, Greek, Cyrillic, Hebrew, Arabic, Indic and Thai, Vietnamese
#: and Georgian, symbols, kana, Han, Hangul, emoji; and digits.
_CHARACTERS: dict[Vocabulary, dict[bytes, float]] = {
    "o200k": dict(
        zip(
            (b"L", b"l", b"G", b"R", b"H", b"B", b"I", b"V", b"q", b"J", b"K", b"M", b"S", b"0"),
            (0.667, 1.237, 0.420, 0.296, 0.427, 0.338, 0.388, 0.5, 0.457, 0.587, 0.739, 0.621, 2.0, 0.253),
            strict=True,
        )
    ),
    "claude": dict(
        zip(
            (b"L", b"l", b"G", b"R", b"H", b"B", b"I", b"V", b"q", b"J", b"K", b"M", b"S", b"0"),
            (2.494, 3.242, 1.318, 0.590, 1.052, 1.137, 1.648, 1.107, 0.530, 0.953, 1.066, 1.249, 3.0, 0.276),
            strict=True,
        )
    ),
}


def count_text(text: str, vocabulary: Vocabulary = "o200k") -> int:
    """Return about how many tokens a text has; 200 KB take about a millisecond."""
    if not text:
        return 0
    classes = b"." + text.encode("utf-8", "replace").translate(_CLASSES, _CONTINUATION)
    masked = {name: classes.translate(table) for name, table in _TABLES.items()}
    tokens = sum(weight * masked[name].count(run) for (name, run), weight in _RUNS[vocabulary].items())
    characters = _CHARACTERS[vocabulary]
    kinds: Iterable[bytes] = (b"0",) if text.isascii() else characters
    tokens += sum(characters[kind] * classes.count(kind) for kind in kinds)
    return max(1, round(tokens))


def count_request(request: ChatRequest, vocabulary: Vocabulary = "o200k") -> int:
    """Return about how many input tokens a conversation has, its tools and media included."""
    texts: list[str] = [part.text for part in request.system]
    media = 0
    for message in request.messages:
        for part in message.parts:
            texts += _texts(part)
            media += sum(_media_tokens(each, vocabulary) for each in _media(part))
    texts += [text for tool in request.tools for text in _tool_texts(tool)]
    if request.output is not None and request.output.schema is not None:
        texts.append(_encode(request.output.schema).decode())
    fixed = MESSAGE_TOKENS * (len(request.messages) + bool(request.system)) + TOOL_TOKENS * len(request.tools)
    if request.tools:
        fixed += TOOLS_TOKENS[vocabulary]
    return count_text("\n".join(texts), vocabulary) + fixed + media


def _texts(part: Part) -> Iterable[str]:
    match part:
        case Text():
            return (part.text,)
        case ToolCall():
            return part.name, part.arguments
        case ToolResult():
            return (text for each in part.parts for text in _texts(each))
        case Reasoning():
            return part.texts
        case Media():
            return part.text, part.title, part.context
        case Native():
            return (_encode(part.value).decode(),)


def _tool_texts(tool: Tool) -> Iterable[str]:
    if tool.kind == "hosted":
        return ()
    described = tool.schema if tool.kind == "function" else tool.grammar
    return tool.name, tool.description, _encode(described).decode() if described else ""


def _media(part: Part) -> Iterator[Media]:
    if isinstance(part, Media):
        yield part
    elif isinstance(part, ToolResult):
        yield from (each for each in part.parts if isinstance(each, Media))


def _media_tokens(media: Media, vocabulary: Vocabulary) -> int:
    if media.text:
        return 0  # counted as text
    if media.kind == "image":
        return 85 if media.detail == "low" and vocabulary == "o200k" else IMAGE_TOKENS[vocabulary]
    pages = 1 + len(media.data) * 3 // 4 // PAGE_BYTES
    return pages * PAGE_TOKENS
