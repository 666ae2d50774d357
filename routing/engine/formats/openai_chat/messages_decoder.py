"""The messages of a client's request, as turns of the conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.body import unknown_word
from routing.engine.errors import BadRequest
from routing.engine.formats.openai_chat.content import cache_mark, read_content
from routing.engine.formats.openai_chat.fields import Fields, wrong
from routing.engine.formats.openai_chat.vocabulary import DETAILS, ENCRYPTED, FORMAT
from routing.engine.messages import Media, Message, Native, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from routing.engine.provenance import is_ours, unwrap
from routing.engine.toolnames import mint_id

_encode = msgspec.json.Encoder().encode
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def read_messages(body: Fields) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    """Return the system prompt that leads, and the turns after it.

    Raises:
        BadRequest: something in them is not of the shape that the format gives it.
    """
    if body.get("messages") is None:
        raise BadRequest("`messages` is missing. Send the conversation, the newest message last.", param="messages")
    reading = _Reading()
    for value, path in body.items("messages"):
        reading.take(Fields(value, path))
    return tuple(reading.system), tuple(reading.messages)


class _Reading:
    """Messages so far, and the calls that wait for their results."""

    def __init__(self) -> None:
        self.system: list[Text] = []
        self.messages: list[Message] = []
        #: Calls of the latest assistant message without a result yet.
        self.open: list[ToolCall] = []

    def take(self, message: Fields) -> None:
        role = message.needed("role")
        match role:
            case "system" | "developer":
                self._system(message)
            case "user":
                self._add("user", _content(message), message)
            case "assistant":
                parts = _assistant(message)
                self.open = [part for part in parts if isinstance(part, ToolCall)]
                self._add("assistant", parts, message)
            case "tool" | "function":
                self._result(message)
            case _:
                raise unknown_word(role, f"{message.path}.role", _ROLES)

    def _add(self, role: Any, parts: list[Part], message: Fields) -> None:
        self.messages.append(Message(role, tuple(parts), name=message.text("name")))

    def _system(self, message: Fields) -> None:
        parts = [part for part in _content(message) if isinstance(part, Text)]
        if self.messages:
            self.messages.append(Message("system", tuple(parts)))
        else:
            self.system += parts

    def _result(self, message: Fields) -> None:
        call = self._answered(message)
        content = read_content(message.get("content"), message.place("content"))
        parts = tuple(part for part in content if isinstance(part, Text | Media | Native))
        name, cache = message.text("name"), cache_mark(message)
        result = ToolResult(call.id, parts, is_custom=call.is_custom, name=name, cache=cache)
        last = self.messages[-1] if self.messages else None
        if last is not None and last.parts and all(isinstance(part, ToolResult) for part in last.parts):
            self.messages[-1] = replace(last, parts=(*last.parts, result))
        else:
            self.messages.append(Message("user", (result,)))

    def _answered(self, message: Fields) -> ToolCall:
        """Return the call that a result belongs to: by its id, else by its name, else the first without a result."""
        call_id, name = message.text("tool_call_id"), message.text("name")
        if call_id:
            found = next((call for call in self.open if call.id == call_id), ToolCall(call_id, name))
        else:
            named = [call for call in self.open if call.name == name] or (self.open if not name else [])
            found = named[0] if named else ToolCall(mint_id(f"{message.path} {name}"), name)
        self.open = [call for call in self.open if call is not found]
        return found


def _content(message: Fields) -> list[Part]:
    parts = read_content(message.get("content"), message.place("content"))
    cache = cache_mark(message)
    if cache is not None and parts and isinstance(last := parts[-1], Text | Media) and last.cache is None:
        parts[-1] = replace(last, cache=cache)
    return parts


def _assistant(message: Fields) -> list[Part]:
    """Return what a model said: its thinking first, then its words, then its calls."""
    parts: list[Part] = [*_reasoning(message), *_content(message)]
    if refusal := message.text("refusal"):
        parts.append(Text(refusal, is_refusal=True))
    if (audio := message.table("audio")) is not None:
        parts.append(Native(FORMAT, "audio", audio))
    calls = [_call(Fields(value, path)) for value, path in message.items("tool_calls")]
    if (legacy := message.table("function_call")) is not None and not calls:
        calls.append(_function_call(Fields(legacy, message.place("function_call"))))
    return parts + calls


def _reasoning(message: Fields) -> Iterator[Reasoning]:
    """Give the thinking of a message, told once however many members tell it."""
    details = [each for each, _ in message.items("reasoning_details") if isinstance(each, dict)]
    text = next((value for name in ("reasoning_content", "reasoning") if (value := _said(message.get(name)))), "")
    text = text or "".join(_said(each.get("text")) or _said(each.get("summary")) for each in details)
    ours = [(unwrap(_said(each.get("data"))), each) for each in details if each.get("type") == ENCRYPTED]
    ours = [(state, each) for state, each in ours if state.origin is not None]
    at = 0
    for state, each in ours:
        start, end = _passage(each, at, len(text))
        if start > at:
            yield Reasoning((text[at:start],))
        yield Reasoning((text[start:end],) if end > start else (), state, is_redacted=each.get("redacted") is True)
        at = end
    text = text[at:]
    foreign = None if ours else foreign_state(details)
    if text or foreign is not None:
        yield Reasoning((text,) if text else (), foreign)


def _passage(detail: dict[str, Any], at: int, length: int) -> tuple[int, int]:
    """Return the passage of the thinking that a detail belongs to: all that is left where it does not say, or lies."""
    start, end = detail.get("start"), detail.get("end")
    if isinstance(start, int) and isinstance(end, int) and at <= start <= end <= length:
        return start, end
    return at, length


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def foreign_state(details: list[dict[str, Any]]) -> Opaque | None:
    """Return `reasoning_details` as one opaque state, for whoever wrote them; None where they are nothing but text."""
    if any(_said(each.get("data")) or _said(each.get("signature")) for each in details):
        return Opaque(_encode(details).decode(), place=DETAILS)
    return None


def _call(call: Fields) -> ToolCall:
    kind = "custom" if call.text("type") == "custom" or "custom" in call.members else "function"
    named = call.inner(kind) if kind in call.members else call
    name = named.needed("name")
    call_id = call.text("id") or mint_id(f"{call.path} {name}")
    state = _call_state(call.get("extra_content"))
    if kind == "custom":
        return ToolCall(call_id, name, named.text("input"), is_custom=True, state=state)
    return ToolCall(call_id, name, arguments_text(named.get("arguments"), named.place("arguments")), state=state)


def _function_call(call: Fields) -> ToolCall:
    name = call.needed("name")
    return ToolCall(
        mint_id(f"{call.path} {name}"), name, arguments_text(call.get("arguments"), call.place("arguments"))
    )


def arguments_text(value: Any, path: str) -> str:
    """Return a call's arguments as JSON text; some servers and clients send the object itself."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return _encode(value).decode()
    raise wrong(path, value, "JSON as a string")


def _call_state(extra: Any) -> Opaque | None:
    """Return the opaque state on a call (`extra_content.google.thought_signature`)."""
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    if not isinstance(signature, str) or not signature:
        return None
    state = unwrap(signature)
    # A bare one is told by its slot: whose it is stands in its name.
    return state if is_ours(state) else replace(state, place="gemini")
