"""What a conversation asks of echo and what echo replies, whatever the format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta
from msgspec.json import encode

from channels_app.engine.providers.echo.tool_arguments import dummy_arguments

CALL_PHRASE = "call tool"
NOTHING_SAID = "You sent no text."

#: Limits that clients set; a body outside the range is answered as upstreams do, with 400.
PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NaturalInt = Annotated[int, Meta(ge=0, le=2**31 - 1)]

#: Echo reckons with tokens of this size.
CHARS_PER_TOKEN = 4
#: A word with the space before it, so that the pieces of a text join to the text.
_WORD = re.compile(r"\s*\S+(?:\s+\Z)?")


class Turn(NamedTuple):
    """One message: said by the user, a tool's result, or anything else."""

    kind: Literal["user", "result", "other"]
    text: str


class Tool(NamedTuple):
    """An offered function."""

    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """Either a text or a call of one tool, with its arguments as JSON."""

    input_tokens: int
    output_tokens: int
    text: str = ""
    is_cut: bool = False
    tool: str = ""
    arguments: str = ""

    def words(self) -> Iterator[str]:
        """Yield the text word by word."""
        return (match[0] for match in _WORD.finditer(self.text))

    def argument_pieces(self, size: int = 12) -> Iterator[str]:
        """Yield the arguments in pieces of a few characters, as models stream them."""
        return (self.arguments[start : start + size] for start in range(0, len(self.arguments), size))


def reply_to(turns: Sequence[Turn], tool: Tool | None, max_tokens: int | None) -> Reply:
    """Return what echo says: a call of `tool` when the user asks for one, else what came last, repeated."""
    input_tokens = tokens_in(turns)
    text, is_result = _last(turns)
    if tool and not is_result and CALL_PHRASE in text.lower():
        arguments = encode(dummy_arguments(tool.schema)).decode()
        return Reply(input_tokens, tokens_of(arguments), tool=tool.name, arguments=arguments)
    if is_result:
        text = f"The tool answered: {text}"
    text, is_cut = _first_words(text if text.strip() else NOTHING_SAID, max_tokens)
    output_tokens = tokens_of(text)
    if max_tokens is not None:
        # Long words are more than a token each; an upstream never bills more than it was allowed.
        output_tokens = min(output_tokens, max_tokens)
    return Reply(input_tokens, output_tokens, text=text, is_cut=is_cut)


def tokens_of(text: str) -> int:
    """Estimate the tokens of a text: four characters each, at least one."""
    return max(1, math.ceil(len(text) / CHARS_PER_TOKEN))


def tokens_in(turns: Sequence[Turn]) -> int:
    """Estimate the tokens of a conversation."""
    return max(1, math.ceil(sum(len(turn.text) for turn in turns) / CHARS_PER_TOKEN))


def text_of(content: Any) -> str:
    """Return the text of a string or of a list of typed parts, with `[image]` for each image part."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part for part in content if isinstance(part, dict)]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    images = ["[image]" for part in parts if part.get("type") in ("image", "image_url", "input_image")]
    return " ".join(texts + images)


def _last(turns: Sequence[Turn]) -> tuple[str, bool]:
    """Return what the user or the tools said last, and whether it was tools."""
    results: list[str] = []
    for turn in reversed(turns):
        if turn.kind == "result":
            results.insert(0, turn.text)
        elif results:
            break
        elif turn.kind == "user":
            return turn.text, False
    return " ".join(results), bool(results)


def _first_words(text: str, limit: int | None) -> tuple[str, bool]:
    """Return at most `limit` words of the text, and whether that cut it."""
    if limit is None:
        return text, False
    end = 0
    for count, match in enumerate(_WORD.finditer(text)):
        if count == limit:
            return text[:end], True
        end = match.end()
    return text, False
