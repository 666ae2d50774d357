"""How many tokens a conversation's messages have, as rules count them: by two old rules of thumb, or exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from routing.engine import vocabulary
from routing.engine.messages import ChatRequest, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult

_DIGITS = b"0123456789"
_SPACE = b" \t\n\r\x0b\x0c"
_MARKS = bytes(byte for byte in range(33, 127) if not chr(byte).isalnum())
#: How the names of models begin that are counted by the second rule; all others are counted by the first.
_OPENAI_MODELS = ("gpt", "chatgpt", "o1", "o3", "o4", "text-", "davinci")


def by_claude(request: ChatRequest) -> int:
    """Return ⌈characters / 3.5⌉ + 0.3 a space + 0.5 a mark, 4 a message, 1500 a picture; messages only."""
    text, pictures = _said(request.messages)
    raw = text.encode("utf-8", "replace")
    tokens = math.ceil(len(text) / 3.5) + 0.3 * _count(raw, _SPACE) + 0.5 * _count(raw, _MARKS)
    return math.ceil(tokens) + 4 * len(request.messages) + 1500 * pictures


def by_openai(request: ChatRequest) -> int:
    """Return characters / 4 + half a token a digit + 0.2 a space, 4 a message and 3, 1000 a picture; messages only."""
    text, pictures = _said(request.messages)
    raw = text.encode("utf-8", "replace")
    tokens = len(text) / 4 + 0.5 * _count(raw, _DIGITS) + 0.2 * _count(raw, _SPACE)
    return math.ceil(tokens) + 4 * len(request.messages) + 3 + 1000 * pictures


def by_model(request: ChatRequest) -> int:
    """Return the count by the rule of thumb for the model that is asked for."""
    return by_openai(request) if request.model.lower().startswith(_OPENAI_MODELS) else by_claude(request)


def exactly(request: ChatRequest) -> int:
    """Return the tokens of each message's text by the model's vocabulary, 3 a message and 3, 765 a picture.

    What frames a message in a prompt is as in OpenAI's cookbook ("How to count tokens"). Costs a millisecond for 25 kB.
    """
    known = vocabulary.vocabulary_of(request.model)
    tokens = 3
    for message in request.messages:
        text, pictures = _said([message])
        tokens += 3 + vocabulary.count(text, known) + 765 * pictures
        if message.name:
            tokens += 1 + vocabulary.count(message.name, known)
    return tokens


def most_tokens(body: bytes) -> int | None:
    """Return how many tokens none of COUNTERS can count beyond in a body; None where only reading it can tell.

    A character takes a byte or more and counts 0.79 at most, a message 12 bytes or more and counts 4, and each picture
    is called an image or linked as a file somewhere.
    """
    if b"\\u" in body:
        return None
    return 2 * len(body) + 3 + 1500 * (body.count(b"image") + body.count(b"file"))


#: Rules of thumb, which cost next to nothing once a request is read.
THUMBS: Mapping[str, Callable[[ChatRequest], int]] = {
    "heuristic": by_model,
    "claude": by_claude,
    "openai": by_openai,
}
EXACT = "exact"
#: Counters that a rule may name.
COUNTERS: Mapping[str, Callable[[ChatRequest], int]] = {**THUMBS, EXACT: exactly}


def _count(raw: bytes, characters: bytes) -> int:
    return len(raw) - len(raw.translate(None, characters))


def _said(messages: Iterable[Message]) -> tuple[str, int]:
    """Return all text of messages, and how many pictures they hold."""
    texts: list[str] = []
    pictures = 0
    for message in messages:
        for part in message.parts:
            texts += _texts(part)
            pictures += sum(media.kind == "image" for media in media_of(part))
    return "".join(texts), pictures


def _texts(part: Part) -> Iterable[str]:
    match part:
        case Text():
            return (part.text,)
        case ToolCall():
            return (part.arguments,)
        case ToolResult():
            return (each.text for each in part.parts if isinstance(each, Text))
        case Reasoning():
            return part.texts
        case Media():
            return (part.text,)
    return ()


def media_of(part: Part) -> Iterable[Media]:
    """Return the pictures, documents and recordings of a part, those inside a tool's answer included."""
    if isinstance(part, Media):
        return (part,)
    if isinstance(part, ToolResult):
        return (each for each in part.parts if isinstance(each, Media))
    return ()
