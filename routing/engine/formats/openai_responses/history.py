"""Messages as the items of an upstream's `input`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.formats.openai_responses.citations import annotation_of
from routing.engine.formats.openai_responses.content import Piece, breakpoint_of, encode_content, encode_part
from routing.engine.formats.openai_responses.toolsets import SEARCH, SEARCH_CALL, SEARCH_OUTPUT, bare_name, set_of
from routing.engine.formats.openai_responses.vocabulary import CLIENT_RUN_CALLS, NAME
from routing.engine.messages import Media, Message, Native, Part, Reasoning, Text, ToolCall, ToolResult
from routing.engine.provenance import is_ours

Item = dict[str, Any]


class History:
    """Writes one conversation for one upstream, and notes in the exchange what it cannot carry."""

    def __init__(self, exchange: Exchange) -> None:
        self._messages = exchange.request.messages
        self._losses = exchange.losses
        self._target = exchange.target
        self._can = exchange.target.capabilities
        self._is_own = exchange.request.format == NAME
        self._items: list[Item] = []
        #: Ids of calls that went back as the items they were.
        self._client_run: set[str] = set()

    def items(self) -> list[Item]:
        """Return the items of all messages."""
        for message in self._messages:
            if message.role == "assistant":
                self._assistant(message)
            elif message.role == "user":
                self._user(message.parts)
            else:
                role = "developer" if self._can.developer_role else "system"
                self._say(role, [part for part in message.parts if isinstance(part, Text | Media | Native)])
        return self._items

    def begin(self, system: tuple[Text, ...]) -> None:
        """Put the system prompt before all items, block by block, where its marks would be lost in one text."""
        self._say("developer" if self._can.developer_role else "system", list(system))

    # --- the client's side -----------------------------------------------------------------------------------------

    def _user(self, parts: tuple[Part, ...]) -> None:
        pieces: list[Piece] = []
        moved: list[Piece] = []
        for part in parts:
            if isinstance(part, ToolResult):
                self._items.append(self._result(part, moved))
            elif isinstance(part, Native) and _is_item(part):
                self._say("user", pieces)
                pieces = []
                self._items.append(part.value)
            elif isinstance(part, Text | Media | Native):
                pieces.append(part)
        self._say("user", [*moved, *pieces])
        if not parts:
            self._items.append({"type": "message", "role": "user", "content": ""})

    def _say(self, role: str, pieces: list[Piece]) -> None:
        if pieces:
            content = encode_content(tuple(pieces), self._losses, has_breakpoints=self._can.cache_breakpoints)
            self._items.append({"type": "message", "role": role, "content": content})

    def _result(self, result: ToolResult, moved: list[Piece]) -> Item:
        if result.call_id in self._client_run:
            return _client_run_result(result)
        if self._is_own and result.name == SEARCH and result.native:
            return {**result.native, "type": SEARCH_OUTPUT, "call_id": result.call_id, "status": "completed"}
        kind = "custom_tool_call_output" if result.is_custom else "function_call_output"
        native = self._native(result)
        return {**native, "type": kind, "call_id": result.call_id, "output": self._output(result, moved)}

    def _native(self, part: ToolCall | ToolResult) -> Item:
        return part.native or {} if self._is_own else {}

    def _output(self, result: ToolResult, moved: list[Piece]) -> str | list[Item]:
        pieces = list(result.parts)
        if result.is_error:
            self._losses.emulated("is_error")
            match pieces:
                case [Text() as first, *rest] if first.text:
                    pieces = [replace(first, text=f"Error: {first.text}"), *rest]
                case _:
                    pieces = [Text("Error"), *pieces]
        marks = (result.cache, *(piece.cache for piece in pieces if not isinstance(piece, Native)))
        has_cache_mark = any(marks) and self._can.cache_breakpoints
        texts = [piece.text for piece in pieces if isinstance(piece, Text)]
        if len(texts) == len(pieces) and not has_cache_mark and (len(texts) < 2 or not self._can.tool_message_images):
            return "\n".join(texts)
        if not self._can.tool_message_images:
            # Only text fits in here; what else there is follows as the user's words after all outputs.
            self._losses.emulated("tool_result_media")
            moved += [Text(f"Output of call {result.call_id}:"), *(p for p in pieces if not isinstance(p, Text))]
            return "\n".join([*texts, "(The rest of the output follows as a message of the user.)"])
        return self._list(result, pieces)

    def _list(self, result: ToolResult, pieces: list[Piece]) -> list[Item]:
        written = encode_content(tuple(pieces), self._losses, has_breakpoints=self._can.cache_breakpoints)
        if result.cache is not None and self._can.cache_breakpoints and written:
            written[-1]["prompt_cache_breakpoint"] = breakpoint_of(result.cache)
        return written

    # --- the model's side ------------------------------------------------------------------------------------------

    def _assistant(self, message: Message) -> None:
        first = len(self._items)
        said: list[Item] = []
        phase = ""
        for part in message.parts:
            if isinstance(part, Text) or (isinstance(part, Native) and not _is_item(part)):
                if said and _phase(part) != phase:
                    self._said(said, phase)
                    said = []
                phase = _phase(part)
                if part_said := self._words(part):
                    said.append(part_said)
                continue
            self._said(said, phase)
            said = []
            self._made(part)
        self._said(said, phase)
        while not self._is_own and len(self._items) > first and self._items[-1]["type"] == "reasoning":
            # The upstream refuses reasoning that nothing follows in its turn; clients of this format know that.
            self._items.pop()
            self._losses.left_behind()

    def _said(self, content: list[Item], phase: str) -> None:
        if content:
            item: Item = {"type": "message", "role": "assistant", "content": content}
            self._items.append({**item, "phase": phase} if phase else item)

    def _words(self, part: Text | Native) -> Item | None:
        if isinstance(part, Native):
            return encode_part(part, self._losses)
        if part.state is not None:
            self._losses.left_behind()
        if part.is_refusal:
            return {"type": "refusal", "refusal": part.text}
        if not part.text:
            return None
        content: Item = {"type": "output_text", "text": part.text}
        annotations = [annotation_of(citation, 0, len(part.text)) for citation in part.citations]
        if any(annotations):
            content["annotations"] = [each for each in annotations if each]
        return content

    def _made(self, part: Part) -> None:
        """Add the item of what a turn holds beside its words."""
        match part:
            case ToolCall():
                self._items.append(self._call(part))
            case Reasoning():
                if (item := self._reasoning(part)) is not None:
                    self._items.append(item)
                else:
                    self._losses.left_behind()
            case Native():
                self._items.append(part.value)
            case Media():
                self._losses.dropped(part.kind)

    def _call(self, call: ToolCall) -> Item:
        if self._is_own and call.name in CLIENT_RUN_CALLS and (item := _client_run_call(call)) is not None:
            self._client_run.add(call.id)
            return item
        if call.state is not None:
            self._losses.left_behind()
        native = self._native(call)
        if call.name == SEARCH and "execution" in native:
            item = {**native, "type": SEARCH_CALL, "call_id": call.id, "status": "completed"}
            return {**item, "arguments": _json_of(call.arguments)}
        name = bare_name(call.name, set_of(native))
        item = {**native, "call_id": call.id, "name": name}
        if call.is_custom:
            return {**item, "type": "custom_tool_call", "input": call.arguments}
        return {**item, "type": "function_call", "arguments": call.arguments or "{}"}

    def _reasoning(self, reasoning: Reasoning) -> Item | None:
        item: Item = {"type": "reasoning", "summary": []}
        if reasoning.is_verbatim:
            item["content"] = [{"type": "reasoning_text", "text": text} for text in reasoning.texts]
        else:
            item["summary"] = [{"type": "summary_text", "text": text} for text in reasoning.texts]
        state = reasoning.state
        if state is not None and self._may_go_back(reasoning):
            return {**item, **({"id": state.place} if state.place else {}), "encrypted_content": state.blob}
        if self._can.reasoning_content_input and reasoning.texts:
            return {**item, "summary": [], "content": [{"type": "reasoning_text", "text": t} for t in reasoning.texts]}
        return None

    def _may_go_back(self, reasoning: Reasoning) -> bool:
        """Whether the upstream is the one that encrypted it; nobody else can read it."""
        state = reasoning.state
        if state is None:
            return False
        if state.origin is None:
            return self._is_own and not is_ours(state)
        origin, target = state.origin, self._target
        return (origin.format, origin.provider, origin.account) == (NAME, target.provider, target.account)


def _is_item(part: Native) -> bool:
    return "part" not in part.value


def _phase(part: Text | Native) -> str:
    return part.phase if isinstance(part, Text) else ""


def _json_of(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def _client_run_call(call: ToolCall) -> Item | None:
    """Return the call as the item it was, None when its arguments are not what they were."""
    given = _json_of(call.arguments)
    if not isinstance(given, dict):
        return None
    item: Item = {"type": call.name, "call_id": call.id, CLIENT_RUN_CALLS[call.name]: given, "status": "completed"}
    return {**(call.native or {}), **item}


def _client_run_result(result: ToolResult) -> Item:
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    item: Item = {**(result.native or {}), "type": f"{result.name}_output"}
    if result.name == "apply_patch_call":
        status = "failed" if result.is_error else "completed"
        return {**item, "call_id": result.call_id, "status": status, "output": text}
    if result.name == "local_shell_call":
        return {**item, "id": result.call_id, "output": text}
    outcome = {"type": "exit", "exit_code": int(result.is_error)}
    output = _json_of(text)
    if not isinstance(output, list):
        output = [{"stdout": text, "stderr": "", "outcome": outcome}]
    return {**item, "call_id": result.call_id, "output": output}
