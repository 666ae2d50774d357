"""Tools that come in sets, or only in the midst of a conversation: every other format has one flat list of tools.

A tool of a set is known by a name that holds both (`set__tool`), and remembers its set for the way back. What clients
declare in an item of `input`, or find for the model, is offered like the rest, and written by this format where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.formats.openai_responses.vocabulary import NAME
from routing.engine.messages import Tool, ToolBegan, ToolCall

#: The member of a call, and of our memory of a tool, that names its set.
SET = "namespace"
#: The tool that looks for others, when the client does it itself, and the items of its use.
SEARCH, SEARCH_CALL, SEARCH_OUTPUT = "tool_search", "tool_search_call", "tool_search_output"
#: In our memory of a tool: it stands in an item of the conversation.
IN_CONVERSATION = "in_conversation"
#: What only we may note there, and no client.
REMEMBERED = frozenset({SET, IN_CONVERSATION})
#: The set that is meant where a call names none.
_DEFAULT_SET = "functions"

C = TypeVar("C", ToolCall, ToolBegan)


def joined_name(set_name: str, name: str) -> str:
    """Return the one name of a set's tool."""
    return f"{set_name.rstrip('_')}__{name}" if set_name not in {"", _DEFAULT_SET} else name


def set_of(native: dict[str, Any] | None) -> str:
    """Return the set that a call names among its own members, "" for none."""
    named = native.get(SET) if native else None
    return named if isinstance(named, str) else ""


def of_set(tool: Tool, declared: dict[str, Any]) -> Tool:
    """Return a tool as a member of the set that is declared so."""
    described = {name: value for name, value in declared.items() if name not in {"type", "tools"}}
    return replace(_remembering(tool, SET, described), name=joined_name(declared["name"], tool.name))


def in_conversation(tool: Tool) -> Tool:
    """Return a tool that an item of the conversation declares."""
    return _remembering(tool, IN_CONVERSATION, True)


def _remembering(tool: Tool, name: str, value: Any) -> Tool:
    if tool.kind == "hosted":
        return tool
    return replace(tool, native={**(tool.native or {}), name: value}, format=NAME)


def memory_of(tool: Tool) -> dict[str, Any]:
    """Return what this format remembers of a tool."""
    return cast(dict[str, Any], tool.native) if tool.format == NAME and tool.native else {}


def is_search(tool: Tool) -> bool:
    """Whether it looks for other tools, at the client."""
    return tool.kind == "function" and memory_of(tool).get("type") == SEARCH


def bare_name(name: str, set_name: str) -> str:
    """Return the name that a tool has within its set."""
    return name.removeprefix(joined_name(set_name, ""))


def as_declared(call: C, exchange: Exchange) -> C:
    """Return a call of a tool under the name that the tool has in its set, and with its set."""
    if set_name := set_of(call.native):
        return replace(call, name=bare_name(call.name, set_name))
    tool = declared(call.name, exchange)
    if tool is None or SET not in memory_of(tool):
        return call
    set_name = memory_of(tool)[SET]["name"]
    return replace(call, name=bare_name(call.name, set_name), native={**(call.native or {}), SET: set_name})


def is_search_call(call: ToolCall | ToolBegan, exchange: Exchange) -> bool:
    """Whether it calls the search for tools that the client does."""
    tool = declared(call.name, exchange) if call.name == SEARCH else None
    return tool is not None and is_search(tool)


def declared(name: str, exchange: Exchange) -> Tool | None:
    """Return the tool of the client that has this name, None when there is none."""
    return next((tool for tool in exchange.request.tools if exchange.names.restore(tool.name) == name), None)


def reference_of(tool: Tool) -> dict[str, Any]:
    """Return a tool as a choice names it."""
    if is_search(tool):
        return {"type": SEARCH}
    memory = memory_of(tool)
    if SET not in memory:
        return {"type": tool.kind, "name": tool.name}
    set_name = memory[SET]["name"]
    return {"type": tool.kind, "name": bare_name(tool.name, set_name), SET: set_name}


def encode_sets(tools: Iterable[tuple[Tool, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return tools, each with its declaration, as the list of a body: sets together, none that stands elsewhere."""
    listed: list[dict[str, Any]] = []
    sets: dict[str, dict[str, Any]] = {}
    for tool, written in tools:
        memory = memory_of(tool) if tool.kind != "hosted" else {}
        if IN_CONVERSATION in memory:
            continue
        own = {name: value for name, value in written.items() if name not in REMEMBERED}
        if SET not in memory:
            listed.append(own)
            continue
        set_name = memory[SET]["name"]
        if set_name not in sets:
            sets[set_name] = {"type": "namespace", **memory[SET], "tools": []}
            listed.append(sets[set_name])
        sets[set_name]["tools"].append({**own, "name": bare_name(tool.name, set_name)})
    return listed
