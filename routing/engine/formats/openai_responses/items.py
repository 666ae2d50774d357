"""The items of a client's `input` as messages: what one turn said and did becomes one message."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from routing.engine.formats.openai_responses import fields
from routing.engine.formats.openai_responses.content import Piece, decode_content
from routing.engine.formats.openai_responses.tools import decode_tools
from routing.engine.formats.openai_responses.toolsets import (
    SEARCH,
    SEARCH_CALL,
    SEARCH_OUTPUT,
    in_conversation,
    joined_name,
    set_of,
)
from routing.engine.formats.openai_responses.vocabulary import (
    CLIENT_RUN_CALLS,
    NAME,
    REDACTED,
    STATE_OF_CALL,
    STATE_OF_TEXT,
    native_members,
)
from routing.engine.messages import Message, Native, Opaque, Part, Reasoning, Role, Text, Tool, ToolCall, ToolResult
from routing.engine.provenance import unwrap

_OUTPUT = "_output"
#: Items that clients add although they are neither messages nor outputs, and those that models add.
_OF_CLIENTS = frozenset(
    {"mcp_approval_response", "additional_tools", "agent_message", "configuration_update", "compaction_trigger"}
)
_OF_MODELS = frozenset({"compaction", "mcp_list_tools", "mcp_approval_request", "program"})


def decode_input(given: Any) -> tuple[tuple[Text, ...], tuple[Message, ...], tuple[Tool, ...]]:
    """Return the system prompt that leads the input, the conversation after it, and the tools that are declared in it.

    Raises:
        BadRequest: an item is not of its shape.
    """
    if isinstance(given, str):
        return (), (Message("user", (Text(given),)),), ()
    if given is not None and not isinstance(given, list):
        raise fields.wrong(given, "input", "a string or a list of items")
    turns = _Turns()
    for place, item in enumerate(given or ()):
        path = f"input[{place}]"
        if isinstance(item, str):
            turns.message("user", (Text(item),))
        else:
            turns.item(fields.record(item, path), path)
    return tuple(turns.system), turns.messages(), tuple(turns.tools.values())


class _Turns:
    """Collects items into turns: neighbours that the model made are one turn, and so are outputs in a row."""

    def __init__(self) -> None:
        self.system: list[Text] = []
        #: By name: the same may be found twice.
        self.tools: dict[str, Tool] = {}
        self._turns: list[tuple[Role, list[Part], bool]] = []
        self._has_begun = False

    def messages(self) -> tuple[Message, ...]:
        return tuple(Message(role, tuple(parts)) for role, parts, _ in self._turns)

    def item(self, item: dict[str, Any], path: str) -> None:
        kind = fields.text(item.get("type"), f"{path}.type") or ("message" if "role" in item else "item_reference")
        if kind == "message":
            self._message(item, path)
        elif kind == "reasoning":
            self._add("assistant", _reasoning(item, path))
        elif kind in {"function_call", "custom_tool_call"} or kind in CLIENT_RUN_CALLS:
            self._call(_call(item, kind, path))
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            self._add("user", _result(item, kind, path))
        elif kind.removesuffix(_OUTPUT) in CLIENT_RUN_CALLS:
            self._add("user", _client_run_result(item, kind, path))
        elif kind in {SEARCH_CALL, SEARCH_OUTPUT} and item.get("execution") == "client":
            self._search(item, kind, path)
        elif kind == "additional_tools":
            self._declare(item, path)
            self._native(Native(NAME, kind, item, text=""))
        elif kind == "agent_message":
            self._native(Native(NAME, kind, item, text=_words(item.get("content"), f"{path}.content")))
        else:
            self._native(Native(NAME, kind, item))

    def _declare(self, item: dict[str, Any], path: str) -> list[Tool]:
        tools = decode_tools(item.get("tools"), f"{path}.tools")
        self.tools |= {tool.name: in_conversation(tool) for tool in tools}
        return list(tools)

    def _search(self, item: dict[str, Any], kind: str, path: str) -> None:
        """Add the client's search for tools; what it found is on offer from there on."""
        if kind == SEARCH_CALL:
            arguments = fields.json_text(item.get("arguments") or {})
            self._call(ToolCall(_call_id(item, path), SEARCH, arguments, native=native_members(item)))
            return
        found = [f"{tool.name}: {tool.description}" for tool in self._declare(item, path)]
        text = "\n".join(["Now you can call:", *found]) if found else "No tool was found."
        self._add("user", ToolResult(_call_id(item, path), (Text(text),), name=SEARCH, native=native_members(item)))

    def message(self, role: Role, parts: tuple[Part, ...]) -> None:
        """Add a message that is a turn of its own."""
        self._has_begun = True
        self._turns.append((role, list(parts), False))

    def _message(self, item: dict[str, Any], path: str) -> None:
        role = fields.text(item.get("role"), f"{path}.role")
        parts = decode_content(item.get("content"), f"{path}.content")
        if role == "assistant":
            phase = fields.text(item.get("phase"), f"{path}.phase")
            for part in parts:
                self._add("assistant", replace(part, phase=phase) if phase and isinstance(part, Text) else part)
        elif role in {"system", "developer"}:
            texts = [part for part in parts if isinstance(part, Text)]
            if self._has_begun or len(texts) < len(parts):
                self.message("system", parts)
            else:
                self.system += texts
        elif role == "user":
            self.message("user", parts)
        else:
            raise fields.wrong_word(role, f"{path}.role", ("user", "assistant", "system", "developer"))

    def _add(self, role: Role, part: Part) -> None:
        """Add a part to the open turn of that role, or begin one."""
        self._has_begun = True
        if isinstance(part, Reasoning) and self._is_state_of_text(part):
            return
        if not (self._turns and self._turns[-1][0] == role and self._turns[-1][2]):
            self._turns.append((role, [], True))
        self._turns[-1][1].append(part)

    def _native(self, native: Native) -> None:
        """Add what only this format has to the turn it stands in; it begins none but its own."""
        began = self._has_begun
        if native.kind in _OF_CLIENTS or native.kind.endswith(_OUTPUT):
            self._add("user", native)
        elif native.kind in _OF_MODELS or native.kind.endswith("_call"):
            self._add("assistant", native)
        else:
            self._add(self._turns[-1][0] if self._turns and self._turns[-1][2] else "user", native)
        self._has_begun = began

    def _call(self, call: ToolCall) -> None:
        """Add a call; a state that stands before it in an item of its own goes back to where it belongs."""
        parts = self._turns[-1][1] if self._turns and self._turns[-1][0] == "assistant" else []
        before = parts[-1] if parts else None
        if isinstance(before, Reasoning) and before.state is not None and _belongs_to(before.state, STATE_OF_CALL):
            call = replace(call, state=before.state)
            parts.pop()
            if before.texts:
                parts.append(replace(before, state=None))
        self._add("assistant", call)

    def _is_state_of_text(self, reasoning: Reasoning) -> bool:
        """Whether it was but the state of the text before it, which has it back now."""
        if reasoning.state is None or not _belongs_to(reasoning.state, STATE_OF_TEXT):
            return False
        parts = self._turns[-1][1] if self._turns and self._turns[-1][0] == "assistant" else []
        if parts and isinstance(text := parts[-1], Text):
            parts[-1] = replace(text, state=reasoning.state)
            return True
        return False


def _belongs_to(state: Opaque, place: str) -> bool:
    return state.origin is not None and state.place == place


def _reasoning(item: dict[str, Any], path: str) -> Reasoning:
    item_id = fields.text(item.get("id"), f"{path}.id")
    blob = fields.text(item.get("encrypted_content"), f"{path}.encrypted_content")
    state = unwrap(blob) if blob else None
    if state is not None and state.origin is None:
        state = replace(state, place=item_id)
    said = _texts(item.get("content"), f"{path}.content")
    texts = said or _texts(item.get("summary"), f"{path}.summary")
    is_redacted = state is not None and state.origin is not None and state.place == REDACTED
    return Reasoning(texts, state, is_redacted, is_verbatim=bool(said), id=item_id)


def _texts(parts: Any, path: str) -> tuple[str, ...]:
    if isinstance(parts, str):
        return (parts,) if parts else ()
    texts = (
        part if isinstance(part, str) else fields.text(fields.record(part, path).get("text"), f"{path}[{place}].text")
        for place, part in enumerate(fields.rows(parts, path))
    )
    return tuple(text for text in texts if text)


def _words(content: Any, path: str) -> str:
    """Return what one agent tells another: only an upstream of this format encrypts what is to be encrypted."""
    parts = (fields.record(part, path) for part in fields.rows(content, path))
    said = (fields.text(part.get("text") or part.get("encrypted_content"), path) for part in parts)
    return "\n".join(each for each in said if each)


def _call_id(item: dict[str, Any], path: str) -> str:
    return fields.text(item.get("call_id"), f"{path}.call_id") or fields.text(item.get("id"), f"{path}.id")


def _call(item: dict[str, Any], kind: str, path: str) -> ToolCall:
    native = native_members(item)
    if kind in CLIENT_RUN_CALLS:
        payload = fields.json_text(item.get(CLIENT_RUN_CALLS[kind]) or {})
        return ToolCall(_call_id(item, path), kind, payload, native=native)
    name = fields.text(item.get("name"), f"{path}.name")
    if not name:
        raise fields.missing(f"{path}.name", "the name of the tool that was called")
    name = joined_name(set_of(native), name)
    if kind == "custom_tool_call":
        given = fields.text(item.get("input"), f"{path}.input")
        return ToolCall(_call_id(item, path), name, given, is_custom=True, native=native)
    return ToolCall(_call_id(item, path), name, fields.json_text(item.get("arguments")), native=native)


def _result(item: dict[str, Any], kind: str, path: str) -> ToolResult:
    output = item.get("output")
    parts: tuple[Piece, ...]
    if isinstance(output, str | list):
        parts = decode_content(output, f"{path}.output")
    else:
        parts = (Text(fields.json_text(output)),) if output is not None else ()
    is_custom = kind == "custom_tool_call_output"
    return ToolResult(_call_id(item, path), parts, is_custom=is_custom, native=native_members(item))


def _client_run_result(item: dict[str, Any], kind: str, path: str) -> ToolResult:
    status = fields.text(item.get("status"), f"{path}.status")
    text = fields.json_text(item.get("output")) or status
    return ToolResult(
        _call_id(item, path),
        (Text(text),) if text else (),
        is_error=status == "failed",
        name=kind.removesuffix(_OUTPUT),
        native=native_members(item),
    )
