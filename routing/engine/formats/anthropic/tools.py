"""Tools on offer and the choice among them, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.anthropic.parts import mark_of
from routing.engine.formats.anthropic.shape import Object, flag_of, list_of, object_of, text_of, wrong
from routing.engine.formats.anthropic.vocabulary import NAME, marked
from routing.engine.messages import Message, Search, Tool, ToolCall, ToolChoice
from routing.engine.schema import object_schema
from routing.engine.wirejson import texts_of, words_of

#: What other formats ask for as web search: the oldest type, which every model with search has.
_WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
_MODES = {"auto": ToolChoice("auto"), "any": ToolChoice("required"), "none": ToolChoice("none")}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FUNCTION_MEMBERS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
#: The date at the end of a typed tool's type.
_VERSION = re.compile(r"_\d{8}\Z")


# --- read ----------------------------------------------------------------------------------------------------------


def decode_tools(said: Any) -> tuple[Tool, ...]:
    """Return the declared tools.

    Raises:
        BadRequest: a declaration is not of the shape that the format gives it.
    """
    return tuple(_tool(object_of(each, f"tools[{place}]"), f"tools[{place}]") for place, each in _each(said))


def _each(said: Any) -> Iterable[tuple[int, Any]]:
    return enumerate(list_of(said, "tools"))


def _tool(said: Object, path: str) -> Tool:
    kind, name = text_of(said.get("type"), f"{path}.type"), text_of(said.get("name"), f"{path}.name")
    if kind not in {"", "custom"}:
        search = _search(said) if kind.startswith("web_search_") else None
        name = name or _VERSION.sub("", kind)
        return Tool(name, "hosted", native=said, format=NAME, cache=mark_of(said, path), search=search)
    if not name:
        raise wrong(f"{path}.name", "the name of a tool", said.get("name"))
    has_more = any(value is not None for member, value in said.items() if member not in _FUNCTION_MEMBERS)
    return Tool(
        name,
        description=text_of(said.get("description"), f"{path}.description"),
        schema=object_of(said.get("input_schema"), f"{path}.input_schema") or None,
        strict=flag_of(said.get("strict"), f"{path}.strict"),
        native=said if has_more else None,
        format=NAME if has_more else "",
        cache=mark_of(said, path),
    )


def _search(said: Object) -> Search | None:
    place = words_of(said.get("user_location"))
    place.pop("type", None)
    wanted = Search("", place, texts_of(said.get("allowed_domains")), texts_of(said.get("blocked_domains")))
    return None if wanted == Search() else wanted


def decode_choice(said: Any) -> tuple[ToolChoice | None, bool | None]:
    """Return what the model may call, and whether it may call several at once.

    Raises:
        BadRequest: it is none of the format's choices.
    """
    if said is None:
        return None, None
    said = object_of(said, "tool_choice")
    serial = flag_of(said.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    parallel = None if serial is None else not serial
    kind = said.get("type")
    if kind == "tool":
        name = text_of(said.get("name"), "tool_choice.name")
        if not name:
            raise wrong("tool_choice.name", "the name of a tool", said.get("name"))
        return ToolChoice("required", (name,)), parallel
    choice = _MODES.get(kind) if isinstance(kind, str) else None
    if choice is None:
        raise BadRequest("`tool_choice.type` must be auto, any, tool or none.", param="tool_choice.type")
    return choice, parallel


# --- written -------------------------------------------------------------------------------------------------------


def add_tools(body: Object, exchange: Exchange) -> None:
    """Write the tools, and the choice among them."""
    request = exchange.request
    wish = request.tool_choice
    offered = request.tools
    if wish is not None and wish.is_list:
        # There is no choice among some: the others are not offered.
        offered = tuple(tool for tool in offered if tool.name in wish.names)
        exchange.losses.emulated("allowed_tools")
    tools = [_declared(tool, exchange) for tool in offered]
    choice = _choice(exchange) if tools else None
    if not tools and (called := _called(request.messages)):
        # Calls in the history of a request without tools are refused: what was called then is declared, not offered.
        tools, choice = [{"name": name, "input_schema": object_schema(None)} for name in called], {"type": "none"}
        exchange.losses.emulated("tools")
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice


def _called(messages: Iterable[Message]) -> list[str]:
    names = (part.name for message in messages for part in message.parts if isinstance(part, ToolCall))
    return list(dict.fromkeys(names))


def _declared(tool: Tool, exchange: Exchange) -> Object:
    can = exchange.target.capabilities
    own: Mapping[str, Any] = tool.native if tool.format == NAME and isinstance(tool.native, dict) else {}
    if tool.kind == "hosted":
        written = {**(own or _searching(tool.search or Search()))}
    else:
        written = {name: value for name, value in own.items() if name not in _FUNCTION_MEMBERS and value is not None}
        written |= _function(tool, exchange)
    written.pop("cache_control", None)
    # Deferred tools are no part of the cached prompt: the two together are refused.
    return written if written.get("defer_loading") else marked(written, tool.cache, can)


def _searching(wanted: Search) -> Object:
    written: Object = {**_WEB_SEARCH}
    if wanted.place:
        written["user_location"] = {"type": "approximate", **wanted.place}
    # The two lists rule each other out.
    if wanted.allowed_domains:
        written["allowed_domains"] = list(wanted.allowed_domains)
    elif wanted.blocked_domains:
        written["blocked_domains"] = list(wanted.blocked_domains)
    return written


def _function(tool: Tool, exchange: Exchange) -> Object:
    written: Object = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = object_schema(tool.schema)
    if tool.strict is not None and exchange.target.capabilities.strict_tools:
        written["strict"] = tool.strict
    elif tool.strict:
        exchange.losses.dropped("strict")
    return written


def _choice(exchange: Exchange) -> Object | None:
    request, can = exchange.request, exchange.target.capabilities
    is_serial = request.parallel_tool_calls is False
    choice = request.tool_choice or (ToolChoice("auto") if is_serial else None)
    if choice is None:
        return None
    written: Object = {"type": _CHOICES[choice.mode]}
    if choice.mode == "required" and len(choice.names) == 1 and not choice.is_list and can.named_choice:
        written = {"type": "tool", "name": choice.names[0]}
    elif choice.mode == "required" and not can.required_choice:
        written = {"type": "auto"}
        exchange.losses.dropped("tool_choice")
    if is_serial and choice.mode != "none":
        written["disable_parallel_tool_use"] = True
    return written


def is_forced(body: Object) -> bool:
    """Whether a written request demands a call, which leaves no room for thinking."""
    return body.get("tool_choice", {}).get("type") in {"any", "tool"}
