"""The conversation as turns of content blocks: roles alternate, results come first, no text is blank."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.arguments import as_object
from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.bedrock_converse.claude import is_readable
from routing.engine.formats.bedrock_converse.media import document_format, media_format
from routing.engine.messages import CacheMark, Media, Message, Native, Part, Reasoning, Role, Text, ToolCall, ToolResult
from routing.engine.turns import NO_RESULT, merge

Json = dict[str, Any]

#: Stands for the user's first turn where a conversation begins with the assistant's.
_FIRST_TURN = "(The conversation so far:)"
_FOREIGN_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_MAX_NAME_CHARS = 200


def cache_point(mark: CacheMark | None, can: Capabilities) -> tuple[Json, ...]:
    """Return the block that ends a part of the prompt worth caching, none where that is not known."""
    if mark is None or not can.cache_control:
        return ()
    point: Json = {"type": "default"}
    if mark.ttl == "1h":
        point["ttl"] = "1h"
    return ({"cachePoint": point},)


class Conversation:
    """A request's messages as Converse takes them.

    `may_think`: the tool loop that is going on, if any, shows the thinking that it began with.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._can = exchange.target.capabilities
        self._losses = exchange.losses
        self._names: set[str] = set()
        turns = self._turns()
        self.may_think = _may_think(turns)
        self.messages: list[Json] = [{"role": role, "content": self._content(parts)} for role, parts in turns]
        if exchange.request.cache is not None and self.messages:
            self.messages[-1]["content"] += cache_point(exchange.request.cache, self._can)

    def _turns(self) -> list[tuple[Role, list[Part]]]:
        messages = list(self._exchange.request.messages)
        while messages and messages[0].role == "system":
            del messages[0]  # part of the system prompt
        sendable = [replace(each, parts=self._sendable(each)) for each in map(self._in_a_known_role, messages)]
        turns = merge(each for each in sendable if each.parts)
        if not turns or turns[0][0] != "user":
            turns.insert(0, ("user", [Text(_FIRST_TURN)]))
            self._losses.emulated("messages")
        role, parts = turns[-1]
        if role == "assistant" and isinstance(last := parts[-1], Text):
            # White space at the end of what the model shall continue is refused.
            parts[-1] = replace(last, text=last.text.rstrip())
        return turns

    def _in_a_known_role(self, message: Message) -> Message:
        if message.role != "system" or self._can.mid_system:
            return message
        self._losses.emulated("system")
        return replace(message, role="user")

    def _sendable(self, message: Message) -> tuple[Part, ...]:
        return tuple(part for part in message.parts if self._is_sendable(part))

    def _is_sendable(self, part: Part) -> bool:
        if isinstance(part, Text):
            return bool(part.text.strip())
        if isinstance(part, Reasoning) and not is_readable(part, self._exchange):
            self._losses.left_behind()
            return False
        return not isinstance(part, Native)

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _content(self, parts: Iterable[Part]) -> list[Json]:
        blocks: list[Json] = []
        loose: list[Media] = []
        for part in parts:
            if loose and not isinstance(part, ToolResult):
                blocks += map(self._media, loose)
                loose = []
            if isinstance(part, ToolResult):
                blocks.append(self._result(part, loose))
            else:
                blocks.append(self._block(part))
            blocks += cache_point(None if isinstance(part, Reasoning | Native) else part.cache, self._can)
        blocks += map(self._media, loose)
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            # A turn with a document must say something in words.
            blocks.insert(0, {"text": "Here is a document."})
        return blocks

    def _block(self, part: Part) -> Json:
        match part:
            case Text():
                if part.citations:
                    self._losses.dropped("citations")
                return {"text": part.text}
            case Media():
                return self._media(part)
            case Reasoning():
                return _thought(part)
            case ToolCall():
                return self._call(part)
            case _:
                raise AssertionError(f"{type(part).__name__} has no block of its own")

    def _call(self, call: ToolCall) -> Json:
        arguments, is_faithful = as_object(call.arguments)
        if not is_faithful:
            self._losses.emulated("tool_arguments")
        if call.state is not None:
            self._losses.left_behind()
        return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments}}

    def _result(self, result: ToolResult, loose: list[Media]) -> Json:
        content: list[Json] = []
        for part in result.parts:
            if isinstance(part, Text) and part.text.strip():
                content.append({"text": part.text})
            elif isinstance(part, Media) and (part.kind == "document" or self._can.tool_message_images):
                content.append(self._media(part))
            elif isinstance(part, Media):
                content.append({"text": f"[The tool's {part.kind} follows below.]"})
                loose.append(part)
                self._losses.emulated("tool_result_media")
        written: Json = {"toolUseId": result.call_id, "content": content or [{"text": NO_RESULT}]}
        if result.is_error:
            written["status"] = "error"
        return {"toolResult": written}

    # --- media ------------------------------------------------------------------------------------------------------

    def _media(self, media: Media) -> Json:
        if media.kind == "document":
            return self._document(media)
        return {media.kind: {"format": media_format(media), "source": self._source(media)}}

    def _document(self, media: Media) -> Json:
        if media.text:
            media = replace(media, data=base64.b64encode(media.text.encode()).decode(), text="")
        written: Json = {
            "format": document_format(media),
            "name": self._name(media.title),
            "source": self._source(media),
        }
        if media.context:
            written["context"] = media.context
        if media.wants_citations:
            written["citations"] = {"enabled": True}
        return {"document": written}

    def _source(self, media: Media) -> Json:
        if media.url.startswith("s3://"):
            return {"s3Location": {"uri": media.url}}
        if not media.data:
            raise BadRequest(
                f"`{self._exchange.target.model}` takes a {media.kind} only inside the request, not by URL. "
                "Send its bytes as base64.",
                code="unsupported_parameter",
                param="messages",
            )
        return {"bytes": media.data}

    def _name(self, title: str) -> str:
        """Return a document's name within the characters that there are; no two documents may have the same."""
        plain = " ".join(_FOREIGN_IN_NAMES.sub("-", title).split())[: _MAX_NAME_CHARS - 8].strip() or "document"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain} ({number})"
        self._names.add(name)
        return name


def _thought(part: Reasoning) -> Json:
    state = part.state
    assert state is not None
    if part.is_redacted or state.place == "redacted":
        return {"reasoningContent": {"redactedContent": state.blob}}
    return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": state.blob}}}


def _may_think(turns: list[tuple[Role, list[Part]]]) -> bool:
    """Whether manual thinking may be on: refused in a tool loop, or a beginning, that does not show its thinking."""
    loop: list[list[Part]] = []
    for role, parts in reversed(turns):
        if role == "user" and not any(isinstance(part, ToolResult) for part in parts):
            break
        if role == "assistant":
            loop.append(parts)
    return not loop or any(isinstance(parts[0], Reasoning) for parts in loop)
