"""Tools on offer and the choice among them, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels_app.engine.capabilities import Capabilities
from routing.engine.errors import BadRequest
from routing.engine.formats.openai_chat.content import cache_mark, write_mark
from routing.engine.formats.openai_chat.fields import Fields, wrong
from routing.engine.formats.openai_chat.vocabulary import FORMAT, LEGACY
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, Search, Tool, ToolChoice
from routing.engine.schema import object_schema
from routing.engine.wirejson import object_of, text_of, words_of

JSON = dict[str, Any]

_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_SEARCHES = ("web_search", "web_search_preview")


# --- from a client ---------------------------------------------------------------------------------------------------


def read_tools(body: Fields) -> tuple[Tool, ...]:
    """Return the tools of a request: `tools`, the legacy `functions`, and search as `web_search_options`.

    Raises:
        BadRequest: a tool without a name, or not of its shape.
    """
    tools = [_read_tool(Fields(value, path)) for value, path in body.items("tools")]
    for value, path in body.items("functions"):
        tools.append(_read_function(Fields(value, path), native=LEGACY))
    if (options := body.table("web_search_options")) is not None:
        tools.append(Tool("web_search", "hosted", native=options, format=FORMAT, search=_read_search(options)))
    return tuple(tools)


def _read_search(options: JSON) -> Search | None:
    place = object_of(options.get("user_location")).get("approximate")
    wanted = Search(text_of(options.get("search_context_size")), words_of(place))
    return None if wanted == Search() else wanted


def _read_tool(tool: Fields) -> Tool:
    kind = tool.text("type") or "function"
    if kind == "function":
        inner = tool.inner("function") if "function" in tool.members else tool
        return _read_function(inner, cache_of=tool)
    if kind == "custom":
        inner = tool.inner("custom") if "custom" in tool.members else tool
        grammar = _read_grammar(inner)
        return Tool(inner.needed("name"), "custom", inner.text("description"), grammar=grammar, cache=cache_mark(tool))
    name = "web_search" if kind.startswith(_SEARCHES) else kind
    return Tool(name, "hosted", native=tool.members, format=FORMAT)


def _read_function(function: Fields, cache_of: Fields | None = None, native: Any = None) -> Tool:
    return Tool(
        function.needed("name"),
        "function",
        function.text("description"),
        function.table("parameters"),
        strict=function.flag("strict"),
        native=native,
        format=FORMAT if native is not None else "",
        cache=cache_mark(cache_of or function),
    )


def _read_grammar(custom: Fields) -> JSON | None:
    """Return what a free text must look like, in the flat form `{type, syntax, definition}`."""
    shape = custom.table("format")
    if shape is None or not isinstance(inner := shape.get("grammar"), dict):
        return shape
    return {"type": "grammar", **inner}


def read_choice(body: Fields) -> ToolChoice | None:
    """Return the tool choice, from the legacy `function_call` where there is no `tool_choice`.

    Raises:
        BadRequest: it is none that the format knows.
    """
    name = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    value, path = body.get(name), body.place(name)
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise BadRequest(f"`{path}` must be auto, none, required or an object, not `{value}`.", param=path)
        return ToolChoice(_MODES[value])  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise wrong(path, value, "auto, none, required or an object")
    return _read_named(Fields(value, path))


def _read_named(choice: Fields) -> ToolChoice:
    kind = choice.text("type") or "function"
    if kind in _MODES:
        return ToolChoice(_MODES[kind])  # type: ignore[arg-type]
    if kind == "allowed_tools":
        allowed = choice.inner(kind) if kind in choice.members else choice
        names = tuple(_name_in(Fields(value, path)) for value, path in allowed.items("tools"))
        return ToolChoice("required" if allowed.text("mode") in {"required", "any"} else "auto", names, is_list=True)
    return ToolChoice("required", (_name_in(choice),))


def _name_in(choice: Fields) -> str:
    kind = choice.text("type") or "function"
    if isinstance(choice.members.get(kind), dict):
        return choice.inner(kind).needed("name")
    if kind in {"function", "custom"}:
        return choice.needed("name")
    return "web_search" if kind.startswith(_SEARCHES) else choice.text("name") or kind


# --- to an upstream --------------------------------------------------------------------------------------------------


def write_tools(request: ChatRequest, can: Capabilities, losses: Losses) -> JSON:
    """Return the members about tools."""
    choice = _without_hosted(request, losses)
    offered = request.tools
    if choice is not None and len(choice.names) == 1 and not choice.is_list and not can.named_choice:
        offered = tuple(tool for tool in offered if tool.name in choice.names)
        choice = ToolChoice("required")
        losses.emulated("tool_choice")
    tools = [written for tool in offered if (written := _write_tool(tool, can, losses)) is not None]
    members: JSON = {"tools": tools} if tools else {}
    members |= dict(_write_search(offered))
    if tools and choice is not None and (word := _write_choice(choice, request, can, losses)) is not None:
        members["tool_choice"] = word
    if tools and request.parallel_tool_calls is not None:
        members["parallel_tool_calls"] = request.parallel_tool_calls
    return members


def _without_hosted(request: ChatRequest, losses: Losses) -> ToolChoice | None:
    """Return the choice where it names tools that can be named here: a search among the options has no name."""
    choice = request.tool_choice
    if choice is None or not choice.names:
        return choice
    nameless = {tool.name for tool in request.tools if tool.kind == "hosted" and not _is_listed(tool)}
    names = tuple(name for name in choice.names if name not in nameless)
    if len(names) == len(choice.names):
        return choice
    losses.dropped("tool_choice")
    return ToolChoice(choice.mode, names, choice.is_list) if names else None


def _is_listed(tool: Tool) -> bool:
    """Whether a hosted tool stands in `tools` as its client wrote it there."""
    return tool.format == FORMAT and isinstance(tool.native, dict) and "type" in tool.native


def _write_tool(tool: Tool, can: Capabilities, losses: Losses) -> JSON | None:
    if tool.kind == "hosted":
        return tool.native if _is_listed(tool) else None
    inner: JSON = {"name": tool.name}
    if tool.description:
        inner["description"] = tool.description
    marked = write_mark(tool.cache, can) if can.cache_control else {}
    if tool.kind == "custom":
        if tool.grammar is not None:
            inner["format"] = _write_grammar(tool.grammar)
        return {"type": "custom", "custom": inner, **marked}
    if tool.schema is not None:
        inner["parameters"] = object_schema(tool.schema)
    if tool.strict is not None:
        if can.strict_tools:
            inner["strict"] = tool.strict
        elif tool.strict:
            losses.dropped("strict")
    return {"type": "function", "function": inner, **marked}


def _write_grammar(grammar: JSON) -> JSON:
    if grammar.get("type") != "grammar" or "grammar" in grammar:
        return grammar
    return {"type": "grammar", "grammar": {name: value for name, value in grammar.items() if name != "type"}}


def _write_search(tools: tuple[Tool, ...]) -> Iterator[tuple[str, JSON]]:
    """Give `web_search_options` for a hosted search, with the place of the user where it is known."""
    for tool in tools:
        if tool.kind != "hosted" or tool.name != "web_search" or _is_listed(tool):
            continue
        if tool.format == FORMAT:
            yield "web_search_options", tool.native
            continue
        wanted, options = tool.search or Search(), JSON()
        if wanted.context_size:
            options["search_context_size"] = wanted.context_size
        if wanted.place:
            options["user_location"] = {"type": "approximate", "approximate": wanted.place}
        yield "web_search_options", options


def _write_choice(choice: ToolChoice, request: ChatRequest, can: Capabilities, losses: Losses) -> Any:
    if choice.names:
        custom = {tool.name for tool in request.tools if tool.kind == "custom"}
        named = [_write_name(name, name in custom) for name in choice.names]
        if len(named) == 1 and not choice.is_list:
            return named[0]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}
    if choice.mode == "required" and can.required_choice != "required":
        if not can.required_choice:
            losses.dropped("tool_choice")
        return can.required_choice or None
    return choice.mode


def _write_name(name: str, is_custom: bool) -> JSON:
    kind = "custom" if is_custom else "function"
    return {"type": kind, kind: {"name": name}}
