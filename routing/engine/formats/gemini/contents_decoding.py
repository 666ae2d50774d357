"""A client's `contents` and `systemInstruction` as messages."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.body import unknown_word
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini.arguments import text_of
from routing.engine.formats.gemini.media import decode_detail, decode_media
from routing.engine.formats.gemini.members import Members, a_list, an_object, text, wrong
from routing.engine.formats.gemini.signatures import ON_CALL, decode_redacted, decode_signature, is_foreign
from routing.engine.messages import (
    Media,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from routing.engine.toolnames import mint_id

FORMAT = "gemini"
#: Parts that are a step of a tool which the upstream runs itself.
OWN_PARTS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_ROLES: dict[str, Role] = {
    "": "user",
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
}
#: What is read of a part; everything else in it only this format has.
_READ = frozenset({"text", "thought", "thoughtSignature", "functionCall", "functionResponse", "inlineData", "fileData"})
_READ_OF_RESPONSE = frozenset({"id", "name", "response", "parts"})
_encode = msgspec.json.Encoder().encode


def decode_system(value: Any) -> tuple[Text, ...]:
    """Return a system prompt, which may be a string, a content, parts, or one part.

    Raises:
        BadRequest: it is not of the shape that the format gives it, or not text.
    """
    path = "systemInstruction"
    parts = value.get("parts") if isinstance(value, dict) and "parts" in value else value
    texts = []
    for place, part in enumerate(_parts(parts, path)):
        members = an_object({"text": part} if isinstance(part, str) else part, f"{path}.parts[{place}]")
        if "text" not in members and members:
            found = next(iter(members))
            raise BadRequest(
                f"`{path}.parts[{place}]` holds `{found}`; a system instruction is text. Send it in `contents`.",
                param=f"{path}.parts[{place}]",
            )
        texts.append(Text(text(members, "text", f"{path}.parts[{place}].")))
    return tuple(each for each in texts if each.text)


def decode_contents(value: Any, detail: str = "") -> tuple[Message, ...]:
    """Return the messages of `contents`: a list, one content, or plain text.

    `detail` is that of all pictures which say nothing about theirs.

    Raises:
        BadRequest: it is missing, or not of the shape that the format gives it.
    """
    if isinstance(value, str):
        value = [value]
    contents = a_list(value, "contents")
    if not contents:
        raise BadRequest("`contents` is missing or empty: there is nothing to answer.", param="contents")
    history = _History(detail)
    for place, content in enumerate(contents):
        history.add(content, f"contents[{place}]")
    return tuple(history.messages)


def _parts(value: Any, path: str) -> list[Any]:
    """Return parts, where one part may stand for a list of one."""
    return [value] if isinstance(value, str) else a_list(value, f"{path}.parts")


class _History:
    """Contents in order, with the calls of the last model turn, which responses without an id answer in order."""

    def __init__(self, detail: str) -> None:
        self.messages: list[Message] = []
        self._detail = detail
        self._turn = 0
        self._calls = _OpenCalls()

    def add(self, content: Any, path: str) -> None:
        if isinstance(content, str):
            content = {"parts": [content]}
        members = an_object(content, path)
        if "parts" not in members and "role" not in members:
            members = {"parts": [content]}  # a part where a content is expected, as SDKs take it
        role = _ROLES.get(text(members, "role", f"{path}.").lower())
        if role is None:
            raise unknown_word(members["role"], f"{path}.role", ("user", "model"))
        if role == "assistant" and not (self.messages and self.messages[-1].role == "assistant"):
            self._turn += 1
            self._calls = _OpenCalls()
        decoded: list[Part] = []
        for place, part in enumerate(_parts(members.get("parts"), path)):
            self._part(part, role, decoded, f"{path}.parts[{place}]")
        self.messages.append(Message(role, tuple(_joined(decoded))))

    def _part(self, value: Any, role: Role, decoded: list[Part], path: str) -> None:
        part = an_object({"text": value} if isinstance(value, str) else value, path)
        state = decode_signature(part, f"{path}.")
        is_model = role == "assistant"
        if part.get("thought") is True and is_model and not any(part.get(key) is not None for key in OWN_PARTS):
            _add_thought(decoded, text(part, "text", f"{path}."), state)
            return
        is_call = part.get("functionCall") is not None
        if state is not None and is_foreign(state, FORMAT) and not (is_call and state.place == ON_CALL):
            _add_thought(decoded, "", state)
            state = None
        if is_call:
            decoded.append(self._call(an_object(part["functionCall"], f"{path}.functionCall"), state, path))
        elif part.get("functionResponse") is not None:
            decoded.append(self._result(an_object(part["functionResponse"], f"{path}.functionResponse"), path))
        elif (media := decode_media(part, path)) is not None:
            decoded.append(self._seen(replace(media, state=state), part))
        elif any(part.get(key) is not None for key in OWN_PARTS):
            kind = next(key for key in OWN_PARTS if part.get(key) is not None)
            decoded.append(Native(FORMAT, kind, value))
            return
        else:
            _add_text(decoded, text(part, "text", f"{path}."), state)
        unread = [key for key in part if key not in _READ and part[key] is not None]
        if "inlineData" in part or "fileData" in part:
            unread = [key for key in unread if key != "mediaResolution"]
        decoded += [Native(FORMAT, key, {key: part[key]}) for key in unread]

    def _seen(self, media: Media, part: Members) -> Media:
        """Return a medium with the detail in which it shall be looked at."""
        general = self._detail if media.kind == "image" else ""
        return replace(media, detail=decode_detail(part.get("mediaResolution")) or general)

    def _call(self, call: Members, state: Opaque | None, path: str) -> ToolCall:
        path = f"{path}.functionCall."
        name = text(call, "name", path)
        if not name:
            raise BadRequest(f"`{path}name` is missing: a call names its function.", param=f"{path}name")
        arguments = call.get("args")
        if arguments is not None and not isinstance(arguments, dict | str):
            raise wrong(f"{path}args", arguments, "an object")
        # The same in every request of a conversation, so that upstreams' prompt caches hold.
        call_id = text(call, "id", path) or mint_id(f"{self._turn}:{name}:{self._calls.count(name)}")
        self._calls.add(call_id, name)
        return ToolCall(call_id, name, text_of(arguments), state=state)

    def _result(self, response: Members, path: str) -> ToolResult:
        path = f"{path}.functionResponse."
        name, own_id = text(response, "name", path), text(response, "id", path)
        call = self._calls.take(own_id, name)
        call_id, called = call or (own_id or mint_id(f"{self._turn}:{name}:unasked"), name)
        parts, is_error = _response_parts(response.get("response"))
        for place, each in enumerate(a_list(response.get("parts"), f"{path}parts")):
            at = f"{path}parts[{place}]"
            part = an_object(each, at)
            if (media := decode_media(part, at)) is not None:
                parts.append(self._seen(media, part))
        native = {key: each for key, each in response.items() if key not in _READ_OF_RESPONSE and each is not None}
        return ToolResult(call_id, tuple(parts), is_error, name=name or called, native=native or None)


class _OpenCalls:
    """The calls of one model turn that have no answer yet."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, str]] = {}
        self._by_id: dict[str, deque[int]] = {}
        self._by_name: dict[str, deque[int]] = {}
        self._counts: dict[str, int] = {}
        self._made = 0

    def count(self, name: str) -> int:
        """Return how many calls of a function there were, answered ones included."""
        return self._counts.get(name, 0)

    def add(self, call_id: str, name: str) -> None:
        """Add a call."""
        self._counts[name] = self._counts.get(name, 0) + 1
        number = self._made = self._made + 1
        self._open[number] = (call_id, name)
        self._by_id.setdefault(call_id, deque()).append(number)
        self._by_name.setdefault(name, deque()).append(number)

    def take(self, call_id: str, name: str) -> tuple[str, str] | None:
        """Take out id and name of the call that a response answers: the one of this id, else the next of this name."""
        for waiting in (self._by_id.get(call_id), self._by_name.get(name)):
            while waiting:
                call = self._open.pop(waiting.popleft(), None)
                if call is not None:
                    return call
        return None


def _response_parts(response: Any) -> tuple[list[Text | Media | Native], bool]:
    """Return a function's response as a tool's answer, and whether it tells of an error.

    By convention `output` holds an answer and `error` tells of an error, where nothing stands beside it.
    """
    is_error = False
    if isinstance(response, dict) and len(response) == 1:
        key, value = next(iter(response.items()))
        if key in {"output", "error"}:
            response, is_error = value, key == "error"
    if response is None:
        return [], is_error
    said = response if isinstance(response, str) else _encode(response).decode()
    return [Text(said)] if said else [], is_error


def _add_thought(decoded: list[Part], words: str, state: Opaque | None) -> None:
    is_redacted = False
    if state is not None:
        state, is_redacted = decode_redacted(state)
    if words or state is not None:
        decoded.append(Reasoning((words,) if words else (), state, is_redacted))


def _joined(decoded: list[Part]) -> list[Part]:
    """Return the parts with neighbouring thoughts made one: they came as the pieces of a stream, a signature last."""
    if not any(isinstance(part, Reasoning) for part in decoded):
        return decoded
    joined: list[Part] = []
    words: list[str] = []
    for part in [*decoded, None]:
        if isinstance(part, Reasoning):
            words += part.texts
        if words and (not isinstance(part, Reasoning) or part.state is not None):
            state = part.state if isinstance(part, Reasoning) else None
            joined.append(Reasoning(("".join(words),), state))
            words = []
        elif isinstance(part, Reasoning) and part.state is not None:
            joined.append(part)
        if part is not None and not isinstance(part, Reasoning):
            joined.append(part)
    return joined


def _add_text(decoded: list[Part], words: str, state: Opaque | None) -> None:
    """Add text; a signature on an empty one belongs to the text or thought before it."""
    last = decoded[-1] if decoded else None
    if words or not isinstance(last, Text | Reasoning) or state is None or last.state is not None:
        if words or state is not None:
            decoded.append(Text(words, state=state))
        return
    decoded[-1] = replace(last, state=state)
