"""How many input tokens a request has, by the bytes of its body: cheap enough to ask before every request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing.engine.call import Call

#: Bodies up to this size are counted whole; of longer ones as many windows of this size, evenly spread, stand for all.
WINDOW_BYTES = 16_384
WINDOWS = 12
#: A JSON string from this length on may hold no text at all: a picture, a document, a model's own encrypted state.
BLOB_BYTES = 1024
#: Quotation marks that are looked at for such strings.
MAX_STRINGS = 65_536
#: What media cost, as in tokens.py: a picture, and a page of a document of about so many characters of base64.
IMAGE_TOKENS = {"anthropic": 1500}
OTHER_IMAGE_TOKENS = 765
PAGE_TOKENS = 1500
PAGE_CHARS = 66_000

#: Members whose text is of no vocabulary: state that models send themselves, and media.
_STATE = frozenset({b"signature", b"encrypted_content", b"thoughtSignature", b"thought_signature"})
_MEDIA = frozenset({b"data", b"file_data"})
#: How base64 of PNG, JPEG, GIF and WebP begins.
_PICTURES = (b"iVBORw0K", b"/9j/", b"R0lGOD", b"UklGR")
#: What each picture of a conversation has in its JSON, also one that is only linked; and how often.
_IMAGE_MARKS = {
    "anthropic": (b'"image"', 1),
    "gemini": (b'ileData"', 1),
    "openai-chat": (b'"image_url"', 2),
    "openai-responses": (b'"input_image"', 1),
}
_NO_MARK = (b"\0", 1)
_ESCAPED = re.compile(rb"\\u[0-9a-fA-F]{4}")


def _kind_of(byte: int) -> str:
    if byte >= 128:
        return "."
    character = chr(byte)
    kinds = (("x", character.isalpha()), ("d", character.isdigit()), ("s", byte <= 32), ("q", character == '"'))
    return next((kind for kind, is_one in kinds if is_one), "p")


_KINDS = bytes(ord(_kind_of(byte)) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Weights:
    """What each thing that is counted in a body adds in tokens; fitted to `tokens.count_request` over samples."""

    #: A word after space or after a mark, and eight letters within a long word.
    spaced: float = 1.08
    joined: float = 0.82
    long: float = 0.81
    digit: float = 0.74
    mark: float = 0.61
    #: A byte that is no ASCII: two to four are one character.
    other: float = 0.24
    #: What JSON adds: its quotation marks and commonest members are no text and are taken off again.
    quote: float = -0.02
    role: float = 0.94
    type: float = -3.24
    #: What a prompt about tools costs beside them, and every request.
    tools: float = 35.7
    once: float = -7.8


_WEIGHTS = {
    "openai-chat": Weights(),
    "anthropic": Weights(1.03, 1.47, 3.08, 0.64, 0.39, 0.35, 0.29, 0.13, -5.63, 322.0, -14.4),
    "openai-responses": Weights(1.06, 1.25, 1.61, 0.85, 0.22, 0.24, 0.77, -2.96, -9.96, 39.0, -4.8),
    "gemini": Weights(1.07, 0.71, 0.89, 0.74, 0.66, 0.24, -0.18, 0.42, 7.94, 2.7, -4.9),
}
_PLAIN = Weights(role=0.0, type=0.0, once=-8.0)


def input_tokens(call: Call) -> int:
    """Return about how many tokens a request's input has, reckoned once for each call; 0 for a form."""
    if call.input_tokens is None:
        call.input_tokens = estimate(call.body, call.format.name)
    return call.input_tokens


def estimate(body: bytes, format: str = "") -> int:
    """Return about how many tokens a body of that format has: of nine in ten the error is below three tenths."""
    if not body:
        return 0
    mark, marks_each = _IMAGE_MARKS.get(format, _NO_MARK)
    images, pages = body.count(mark) // marks_each, 0
    if len(body) > BLOB_BYTES:
        body, inline, pages = _without_blobs(body)
        images = max(images, inline)
    media = images * IMAGE_TOKENS.get(format, OTHER_IMAGE_TOKENS) + pages * PAGE_TOKENS
    weights = _WEIGHTS.get(format, _PLAIN)
    if len(body) <= WINDOW_BYTES * WINDOWS:
        tokens = _weigh(body, weights)
    else:
        step = (len(body) - WINDOW_BYTES) // (WINDOWS - 1)
        sample = b"".join(body[place * step : place * step + WINDOW_BYTES] for place in range(WINDOWS))
        tokens = _weigh(sample, weights) * len(body) / len(sample)
    return max(1, round(tokens)) + media


def _weigh(body: bytes, weights: Weights) -> float:
    if b"\\u" in body:
        body = _ESCAPED.sub(b"\xe4\xb8\xad", body)
    kinds = body.translate(_KINDS)
    size = len(body)
    tokens = (
        weights.once
        + weights.spaced * kinds.count(b"sx")
        + weights.joined * kinds.count(b"px")
        + weights.long * kinds.count(b"xxxxxxxx")
        + weights.digit * (size - len(kinds.translate(None, b"d")))
        + weights.mark * (size - len(kinds.translate(None, b"p")))
        + weights.quote * kinds.count(b"q")
        + weights.role * body.count(b'"role"')
        + weights.type * body.count(b'"type"')
    )
    if b'"tools"' in body:
        tokens += weights.tools
    if not body.isascii():
        tokens += weights.other * (size - len(kinds.translate(None, b".")))
    return tokens


def _without_blobs(body: bytes) -> tuple[bytes, int, int]:
    """Return the body without strings that are no text, how many of them are pictures, and the pages of the others.

    Only where a format keeps such things, so that a text without spaces stays one.
    """
    pieces = body.split(b'"', MAX_STRINGS)
    pictures, pages, is_changed = 0, 0, False
    for place, size in enumerate(map(len, pieces[:MAX_STRINGS])):
        if size <= BLOB_BYTES or place < 2:
            continue
        piece, name = pieces[place], pieces[place - 2]
        if piece.startswith((b"data:image/", *_PICTURES)):
            pictures += 1
        elif piece.startswith(b"data:") or (name in _MEDIA and b" " not in piece):
            pages += 1 + size // PAGE_CHARS
        elif name not in _STATE:
            continue
        pieces[place] = b""
        is_changed = True
    return (b'"'.join(pieces) if is_changed else body), pictures, pages
