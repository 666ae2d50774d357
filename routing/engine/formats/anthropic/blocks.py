"""The conversation as turns of content blocks, for an upstream."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from routing.engine.arguments import as_object
from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.anthropic.shape import Object
from routing.engine.formats.anthropic.vocabulary import NAME, is_strict_version, marked
from routing.engine.messages import Media, Message, Native, Part, Reasoning, Role, Text, ToolCall, ToolResult
from routing.engine.provenance import family, is_ours
from routing.engine.turns import merge

#: Stands for the user's first turn where a conversation begins with the assistant's.
_FIRST_TURN = "(The conversation so far:)"
#: A failed tool must say something; an empty text is refused.
_NO_REASON = "The tool failed and gave no reason."
#: How base64 of pictures begins, by type, for those whose client did not say.
_MAGIC = {"/9j/": "image/jpeg", "iVBOR": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"}

Turn = tuple[Role, list[Part]]


@dataclass(slots=True)
class Conversation:
    """What a request's messages become."""

    system: list[Object] = field(default_factory=list)
    messages: list[Object] = field(default_factory=list)
    has_mid_system: bool = False
    #: The tool loop that is going on, if any, shows the signed thinking that it began with.
    may_think: bool = True


def encode_conversation(exchange: Exchange) -> Conversation:
    """Return system prompt and turns, and note what has no place there."""
    return _Conversing(exchange).conversation()


class _Conversing:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.losses = exchange.losses
        self.can = exchange.target.capabilities
        self.is_same_format = exchange.request.format == NAME
        self.family = family(exchange.target.model)

    def conversation(self) -> Conversation:
        leading, messages = _split_system(self.exchange.request.messages)
        system = [*self.exchange.request.system, *(part for part in leading if isinstance(part, Text))]
        prepared = [each for message in messages for each in self.prepared(message)]
        turns = merge(each for each in prepared if each.parts)
        if not turns or turns[0][0] != "user":
            turns.insert(0, ("user", [Text(_FIRST_TURN)]))
            self.losses.emulated("messages")
        _trim_prefill(turns)
        return Conversation(
            [self.block(part) for part in system if part.text.strip()],
            [{"role": role, "content": [self.block(part, role) for part in parts]} for role, parts in turns],
            any(role == "system" for role, _ in turns),
            _may_think(turns),
        )

    # --- what may be sent, and where -------------------------------------------------------------------------------

    def prepared(self, message: Message) -> Iterable[Message]:
        """Yield a message with what may be sent, in the role that may say it."""
        parts = tuple(part for part in message.parts if self.is_sendable(part))
        if message.role == "system":
            is_kept = self.can.mid_system and all(isinstance(part, Text | Native) for part in parts)
            if parts and not is_kept:
                self.losses.emulated("system")
            yield Message("system" if is_kept else "user", parts)
        elif message.role == "assistant":
            # What the assistant cannot show, the user's next turn can.
            moved = tuple(part for part in parts if isinstance(part, Media) and not self.is_sayable(part))
            yield Message("assistant", tuple(part for part in parts if not (isinstance(part, Media) and part in moved)))
            for part in moved:
                self.losses.emulated(part.kind)
            yield Message("user", moved)
        else:
            yield Message("user", parts)

    def is_sendable(self, part: Part) -> bool:
        if isinstance(part, Text):
            return bool(part.text.strip())
        if isinstance(part, Reasoning) and not self.is_own(part):
            self.losses.left_behind()
            return False
        return True

    def is_own(self, reasoning: Reasoning) -> bool:
        """Whether a thought was signed by who is asked now: anybody else's signature, or none, draws a refusal."""
        state = reasoning.state
        if state is None or not state.blob:
            return False
        origin, target = state.origin, self.exchange.target
        if origin is None:
            return self.is_same_format and not is_ours(state)
        return origin.format == NAME and (origin.account == target.account or origin.family == self.family)

    def is_sayable(self, media: Media) -> bool:
        """Whether the assistant may have shown it: only where the client's format is this one, and never a document."""
        return self.is_same_format and not (media.kind == "document" and is_strict_version(self.can))

    # --- blocks ----------------------------------------------------------------------------------------------------

    def block(self, part: Part, role: str = "user") -> Object:
        match part:
            case Text():
                return marked(self.text(part, role), part.cache, self.can)
            case Media():
                return marked(self.media(part), part.cache, self.can)
            case Reasoning():
                return _thought(part)
            case ToolCall():
                return marked(self.call(part), part.cache, self.can)
            case ToolResult():
                return marked(self.result(part), part.cache, self.can)
            case Native():
                return self.native(part)

    def text(self, part: Text, role: str = "user") -> Object:
        written: Object = {"type": "text", "text": part.text}
        if part.state is not None:
            self.losses.left_behind()
        own = [each.native for each in part.citations if each.format == NAME and each.native is not None]
        if role != "assistant" and is_strict_version(self.can):
            own = []
        if own:
            written["citations"] = own
        if len(own) < len(part.citations):
            self.losses.dropped("citations")
        return written

    def media(self, part: Media) -> Object:
        own = part.native if self.is_same_format and part.native else {}
        if "type" in own:
            return dict(own)
        written: Object = {"type": part.kind, "source": own.get("source") or self.source(part)}
        if part.kind == "document":
            if part.title:
                written["title"] = part.title
            if part.context:
                written["context"] = part.context
            if part.wants_citations:
                written["citations"] = {"enabled": True}
        return {**written, **own}

    def source(self, part: Media) -> Object:
        if part.file_id:
            return {"type": "file", "file_id": part.file_id}
        if part.url:
            if not self.can.image_urls and not part.url.startswith(self.can.own_urls):
                raise BadRequest(
                    f"`{self.exchange.target.model}` takes media only inline, not by URL ({part.url[:200]}). "
                    "Send the bytes as base64.",
                    code="unsupported_parameter",
                    param=self.losses.spelled("messages"),
                )
            return {"type": "url", "url": part.url}
        if part.kind == "document" and not part.data:
            return {"type": "text", "media_type": "text/plain", "data": part.text}
        if part.kind == "document" and _is_written(part.media_type) and (text := _decoded(part.data)) is not None:
            return {"type": "text", "media_type": "text/plain", "data": text}
        return {"type": "base64", "media_type": part.media_type or _guessed(part), "data": part.data}

    def call(self, part: ToolCall) -> Object:
        given, is_faithful = as_object(part.arguments)
        if not is_faithful:
            self.losses.emulated("tool_arguments")
        if part.state is not None:
            self.losses.left_behind()
        own = part.native if self.is_same_format and part.native else {}
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": given, **own}

    def result(self, part: ToolResult) -> Object:
        content = [self.block(each) for each in part.parts if not isinstance(each, Text) or each.text.strip()]
        if part.is_error and not content:
            content = [{"type": "text", "text": _NO_REASON}]
        written: Object = {"type": "tool_result", "tool_use_id": part.call_id}
        if content:
            written["content"] = content
        if part.is_error:
            written["is_error"] = True
        return {**written, **part.native} if self.is_same_format and part.native else written

    def native(self, part: Native) -> Object:
        written: Object = dict(part.value)
        if not self.can.cache_control:
            written.pop("cache_control", None)
        return written


def _split_system(messages: Sequence[Message]) -> tuple[list[Part], Sequence[Message]]:
    """Return the parts of the system messages before all others, which belong to the system prompt, and the rest."""
    place = 0
    while place < len(messages) and messages[place].role == "system":
        place += 1
    return [part for message in messages[:place] for part in message.parts], messages[place:]


def _trim_prefill(turns: list[Turn]) -> None:
    """Take the white space from the end of a beginning that the model shall continue: with it, it is refused."""
    role, parts = turns[-1]
    if role == "assistant" and isinstance(last := parts[-1], Text):
        parts[-1] = replace(last, text=last.text.rstrip())


def _may_think(turns: Sequence[Turn]) -> bool:
    """Whether manual thinking may be on: not in a tool loop, or a beginning, that does not show its thinking.

    Turning it on there is refused: the assistant's part since the user last spoke must begin with signed thinking
    (https://docs.claude.com/en/docs/build-with-claude/extended-thinking).
    """
    loop: list[list[Part]] = []
    for role, parts in reversed(turns):
        if role == "user" and not any(isinstance(part, ToolResult) for part in parts):
            break
        if role == "assistant":
            loop.append(parts)
    return not loop or any(isinstance(parts[0], Reasoning) for parts in loop)


def _thought(part: Reasoning) -> Object:
    state = part.state
    assert state is not None
    if part.is_redacted or state.place == "redacted":
        return {"type": "redacted_thinking", "data": state.blob}
    return {"type": "thinking", "thinking": part.text, "signature": state.blob}


def _guessed(part: Media) -> str:
    if part.kind == "document":
        return "application/pdf"
    return next((kind for start, kind in _MAGIC.items() if part.data.startswith(start)), "image/jpeg")


def _is_written(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in {"application/json", "application/xml"}


def _decoded(data: str) -> str | None:
    """Return the text of a document that came as base64, None where it is no text."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def clamp_marks(body: Object, exchange: Exchange, most: int = 4) -> None:
    """Leave the last breakpoints where there are more than the format takes, none of no said life before a longer one.

    (https://docs.claude.com/en/docs/build-with-claude/prompt-caching: longer lives come first.) Who says a life, and a
    client of the format, is taken at its word.
    """
    marks = [block for block in _blocks(body) if "cache_control" in block]
    most -= "cache_control" in body
    if len(marks) > most:
        exchange.losses.clamped("cache_control")
    for block in marks[: max(len(marks) - most, 0)]:
        del block["cache_control"]
    if exchange.request.format != NAME:
        _order_lives([block["cache_control"] for block in marks if "cache_control" in block])


def _order_lives(marks: list[Object]) -> None:
    lasting = max((place for place, mark in enumerate(marks) if mark.get("ttl") == "1h"), default=0)
    for mark in marks[:lasting]:
        mark.setdefault("ttl", "1h")


def _blocks(body: Object) -> Iterable[dict[str, Any]]:
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        for block in message["content"]:
            if block["type"] == "tool_result":
                yield from block.get("content", ())
            yield block
