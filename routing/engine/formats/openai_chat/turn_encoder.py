"""A model's own turns as assistant messages: its words, its thinking, its calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange
from routing.engine.effort import wanted_effort
from routing.engine.formats.openai_chat.content import write_mark, write_text
from routing.engine.formats.openai_chat.vocabulary import DETAILS, FORMAT
from routing.engine.messages import Media, Message, Native, Opaque, Part, Reasoning, Text, ToolCall
from routing.engine.provenance import is_ours

JSON = dict[str, Any]

_DETAILS = msgspec.json.Decoder(list[dict[str, Any]])


class TurnEncoder:
    """Writes neighbouring assistant turns.

    A client of this format keeps them apart, and so they stay; all others mean one turn by them.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.can = exchange.target.capabilities
        self.losses = exchange.losses
        self.is_same_format = exchange.request.format == FORMAT
        thinking = exchange.request.thinking
        is_on = thinking is None or wanted_effort(thinking) != "none"
        #: Hosts with this switch think unless told not to, and then refuse a call whose thinking is left out.
        self.thinks = is_on and (self.can.thinking_switch == "thinking" or self.can.reasons_by_default)

    def write(self, run: Sequence[Message]) -> Iterator[JSON]:
        """Give the messages of a run of turns."""
        is_kept_apart = self.is_same_format and not self.can.strict_alternation
        groups = [[message] for message in run] if is_kept_apart else [list(run)]
        thoughts: list[Reasoning] = []
        for group in groups:
            parts = [part for message in group for part in message.parts]
            thoughts += [part for part in parts if isinstance(part, Reasoning)]
            message = self._message(group, parts)
            if self._think(message, thoughts):
                thoughts = []
            yield message
        # Without calls an upstream that takes thinking back has no use for it.
        if not self.can.reasoning_content_input and any(map(_says_something, thoughts)):
            self.losses.left_behind()

    def words(self, texts: Sequence[Text], between: str) -> str | list[JSON]:
        """Return text: blocks stay apart, and keep their marks, as far as the upstream takes lists."""
        texts = [text for text in texts if text.text]
        for text in texts:
            self._note_lost(text.state)
        is_marked = any(write_mark(text.cache, self.can) for text in texts)
        if is_marked or (len(texts) > 1 and self.can.text_parts):
            return [write_text(text, self.can) for text in texts]
        return between.join(text.text for text in texts)

    def name_of(self, message: Message) -> str:
        """Return the name of who speaks, where the upstream takes one."""
        if message.name and not self.can.names:
            self.losses.dropped("name")
            return ""
        return message.name

    def _message(self, group: Sequence[Message], parts: Sequence[Part]) -> JSON:
        message: JSON = {"role": "assistant"}
        content: str | list[JSON] = ""
        for each in group:
            content = joined(content, self._speech(each.parts), self.can)
        message["content"] = content
        if name := self.name_of(group[0]):
            message["name"] = name
        for part in parts:
            self._add(message, part)
        if not content and len(message) > 2:
            message["content"] = None
        return message

    def _speech(self, parts: Sequence[Part]) -> str | list[JSON]:
        """Return what one turn says; its blocks were one text to the model."""
        said = [part for part in parts if isinstance(part, Text | Native) and not self._is_beside(part)]
        texts = [part for part in said if isinstance(part, Text)]
        if len(texts) == len(said):
            return self.words(texts, "")
        return [write_text(part, self.can) if isinstance(part, Text) else part.value for part in said]

    def _is_beside(self, part: Text | Native) -> bool:
        """Whether a part has a member of its own beside the content."""
        if isinstance(part, Text):
            return part.is_refusal and self.is_same_format
        return part.kind == "audio"

    def _add(self, message: JSON, part: Part) -> None:
        match part:
            case ToolCall():
                message.setdefault("tool_calls", []).append(self._call(part))
            case Text() if self._is_beside(part):
                message["refusal"] = message.get("refusal", "") + part.text
            case Native() if self._is_beside(part):
                message["audio"] = {"id": part.value.get("id")}
            case Media():
                self.losses.dropped(part.kind)

    def _call(self, call: ToolCall) -> JSON:
        written: JSON = {"id": call.id}
        if call.is_custom:
            written |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
        else:
            arguments = call.arguments if call.arguments.strip() else "{}"
            written |= {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        if call.state is not None and self._is_own(call.state):
            written["extra_content"] = {"google": {"thought_signature": call.state.blob}}
        else:
            self._note_lost(call.state)
        return written

    # --- thinking ------------------------------------------------------------------------------------------------

    def _think(self, message: JSON, thoughts: Sequence[Reasoning]) -> bool:
        """Put thinking where the upstream takes it back; return whether it found its place."""
        details = [detail for thought in thoughts for detail in self._details(thought.state)]
        if details:
            message[DETAILS] = details
            return True
        if "tool_calls" not in message or not self.can.reasoning_content_input:
            return False
        text = "\n\n".join(thought.text for thought in thoughts if thought.text)
        if text or self.thinks:
            message[self.can.reasoning_field] = text
        return True

    def _details(self, state: Opaque | None) -> list[JSON]:
        """Return the details that a state stands for, where this upstream wrote them."""
        if state is None or state.place != DETAILS or not self._is_own(state):
            return []
        if state.origin is None and self.can.thinking_switch != "reasoning":
            return []
        try:
            return _DETAILS.decode(state.blob)
        except ValueError:
            return []

    def _is_own(self, state: Opaque) -> bool:
        """Whether a state goes back to who issued it; one that came bare is the client's own affair."""
        if state.origin is None:
            return self.is_same_format and not is_ours(state)
        target = self.exchange.target
        return (state.origin.format, state.origin.provider) == (target.format, target.provider)

    def _note_lost(self, state: Opaque | None) -> None:
        if state is not None and state.blob:
            self.losses.left_behind()


def _says_something(thought: Reasoning) -> bool:
    return bool(thought.text or (thought.state is not None and thought.state.blob))


def is_apart(parts: Sequence[JSON]) -> bool:
    """Whether parts say more than one plain text does."""
    return any(part.keys() != {"type", "text"} for part in parts)


def joined(one: str | list[JSON], other: str | list[JSON], can: Capabilities) -> str | list[JSON]:
    """Return two contents as one, apart as far as the upstream takes lists."""
    if not one or not other:
        return one or other
    if isinstance(one, str) and isinstance(other, str) and not can.text_parts:
        return f"{one}\n\n{other}"
    return [*_listed(one), *_listed(other)]


def _listed(content: str | list[JSON]) -> list[JSON]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
