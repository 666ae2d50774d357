"""The turns of a conversation as the messages that an upstream takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.content import write_mark, write_media, write_text
from routing.engine.formats.openai_chat.turn_encoder import TurnEncoder, is_apart, joined
from routing.engine.losses import Losses
from routing.engine.messages import Media, Message, Native, Part, Text, ToolResult

JSON = dict[str, Any]
_OPERATORS = frozenset({"system", "developer"})
#: Stands for a turn of which nothing could be carried: without it, the turn before would be the last.
_LEFT_OUT = "[An attachment was left out.]"
#: Stands for the user's first turn where roles must alternate and a conversation begins with the assistant's.
_FIRST_TURN = "(The conversation so far:)"
#: Stands for the turn that a model had no chance to take between a tool's result and the user's next words.
_TURN_BETWEEN = "OK."


def write_messages(exchange: Exchange, system: Sequence[Text]) -> list[JSON]:
    """Return the messages: the system prompt, then each turn; what cannot be carried is noted."""
    writing = _Writing(exchange)
    writing.operator(system)
    for message in exchange.request.messages:
        writing.take(message)
    writing.end_run()
    return writing.messages


class _Writing:
    """Messages written so far, and the neighbouring assistant turns that wait to be written."""

    def __init__(self, exchange: Exchange) -> None:
        self.can = exchange.target.capabilities
        self.losses: Losses = exchange.losses
        self.turns = TurnEncoder(exchange)
        self.messages: list[JSON] = []
        self.run: list[Message] = []
        self.last = exchange.request.messages[-1] if exchange.request.messages else None

    def take(self, message: Message) -> None:
        if message.role == "assistant":
            self.run.append(message)
            return
        self.end_run()
        if message.role == "user":
            self._user(message)
            return
        texts = [part for part in message.parts if isinstance(part, Text)]
        if texts and self.can.strict_alternation:
            self.losses.emulated("system")
            self._add("user", self.turns.words(texts, "\n\n"))
        else:
            self.operator(texts)

    def operator(self, texts: Sequence[Text]) -> None:
        if any(text.text for text in texts):
            role = "developer" if self.can.developer_role else "system"
            self.messages.append({"role": role, "content": self.turns.words(texts, "\n\n")})

    def end_run(self) -> None:
        if not self.run:
            return
        if self.can.strict_alternation and all(each["role"] in _OPERATORS for each in self.messages):
            self.losses.emulated("messages")
            self._add("user", _FIRST_TURN)
        self.messages += self.turns.write(self.run)
        if self.can.prefix and self.run[-1] is self.last and "tool_calls" not in self.messages[-1]:
            self.messages[-1]["prefix"] = True
        self.run = []

    def _user(self, message: Message) -> None:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        moved: list[JSON] = []
        self.messages += [self._result(result, moved) for result in results]
        if moved:
            self.losses.emulated("tool_result_media")
            self._add("user", moved)
        if rest or not results:
            lost = _LEFT_OUT if any(isinstance(part, Media) for part in rest) else ""
            self._add("user", self._content(rest) or lost, self.turns.name_of(message))

    def _add(self, role: str, content: str | list[JSON], name: str = "") -> None:
        """Append a message, or add to the one before where roles must alternate."""
        last = self.messages[-1] if self.messages else {}
        if role == "user" and last.get("role") == "tool" and not self.can.user_after_tool:
            self.losses.emulated("messages")
            self.messages.append({"role": "assistant", "content": _TURN_BETWEEN})
        if self.can.strict_alternation and last.get("role") == role:
            last["content"] = joined(last["content"], content, self.can)
        else:
            self.messages.append({"role": role, "content": content, **({"name": name} if name else {})})

    def _content(self, parts: Sequence[Part]) -> str | list[JSON]:
        """Return a user's parts: text alone as text, everything else as a list in order."""
        texts = [part for part in parts if isinstance(part, Text)]
        if len(texts) == len(parts):
            return self.turns.words(texts, "\n\n")
        written = [written for part in parts if (written := self._part(part)) is not None]
        if len(written) == 1 and not is_apart(written):
            return str(written[0]["text"])
        return written or ""

    def _part(self, part: Part) -> JSON | None:
        if isinstance(part, Text):
            return write_text(part, self.can) if part.text else None
        if isinstance(part, Media):
            return write_media(part, self.can, self.losses)
        return part.value if isinstance(part, Native) and isinstance(part.value, dict) else None

    # --- results of tools ----------------------------------------------------------------------------------------

    def _result(self, result: ToolResult, moved: list[JSON]) -> JSON:
        """Return a tool message; media that it cannot hold are added to `moved`, with a line that says whose."""
        said: list[JSON] = []
        shown: list[JSON] = []
        for part in result.parts:
            if (written := self._part(part)) is None:
                continue
            fits = not isinstance(part, Media) or part.text or (part.kind == "image" and self.can.tool_message_images)
            (said if fits else shown).append(written)
        if shown:
            said.append({"type": "text", "text": f"[{_named(shown)} attached in the next user message]"})
            moved.append({"type": "text", "text": f"Attached to the result of tool call {result.call_id}:"})
            moved += shown
        if result.is_error:
            self.losses.emulated("is_error")
            _say_error(said)
        if said and (mark := write_mark(result.cache, self.can)):
            said[-1] = {**said[-1], **mark}
        content: str | list[JSON] = said if is_apart(said) else "\n\n".join(part["text"] for part in said)
        return {"role": "tool", "tool_call_id": result.call_id, "content": content}


def _named(shown: Sequence[JSON]) -> str:
    """Return what was moved in words: `1 image`, `2 files`."""
    noun = "image" if all(part["type"] == "image_url" for part in shown) else "file"
    return f"{len(shown)} {noun}{'s' if len(shown) > 1 else ''}"


def _say_error(said: list[JSON]) -> None:
    """Say in words what the format has no member for."""
    if said and said[0].get("type") == "text":
        said[0] = {**said[0], "text": f"Error: {said[0]['text']}"}
    else:
        said.insert(0, {"type": "text", "text": "Error: the tool failed."})
