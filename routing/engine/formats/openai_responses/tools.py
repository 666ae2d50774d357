"""Tools on offer and the choice among them, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from routing.engine.formats.openai_responses import fields
from routing.engine.formats.openai_responses.toolsets import (
    REMEMBERED,
    SEARCH,
    SET,
    encode_sets,
    is_search,
    joined_name,
    of_set,
    reference_of,
)
from routing.engine.formats.openai_responses.vocabulary import NAME, hosted_name
from routing.engine.messages import ChoiceMode, Search, Tool, ToolChoice
from routing.engine.schema import object_schema
from routing.engine.wirejson import object_of, text_of, texts_of, words_of

_MODES = ("auto", "none", "required")
_FUNCTION_MEMBERS = frozenset({"type", "name", "description", "parameters", "strict", "function"})


def decode_tools(tools: Any, path: str = "tools") -> tuple[Tool, ...]:
    """Return the tools of a body, or of what stands at `path`; those in sets one by one.

    Raises:
        BadRequest: they are no list, or one is not of its shape.
    """
    decoded: list[Tool] = []
    for place, each in enumerate(fields.rows(tools, path)):
        here = f"{path}[{place}]"
        tool = fields.record(each, here)
        kind = fields.text(tool.get("type"), f"{here}.type") or "function"
        if kind == "namespace":
            _name(tool, here)
            decoded += (of_set(member, tool) for member in decode_tools(tool.get("tools"), f"{here}.tools"))
        else:
            decoded.append(_decode_tool(tool, kind, here))
    return tuple(decoded)


def _decode_tool(tool: dict[str, Any], kind: str, path: str) -> Tool:
    if kind == "function":
        return _decode_function(tool, path)
    if kind == SEARCH and tool.get("execution") == "client":
        parameters = fields.record(tool.get("parameters"), f"{path}.parameters") or None
        said = fields.text(tool.get("description"), f"{path}.description")
        native = {name: value for name, value in tool.items() if name not in REMEMBERED}
        return Tool(SEARCH, "function", said, parameters, native=native, format=NAME)
    if kind == "custom":
        return Tool(
            _name(tool, path),
            "custom",
            fields.text(tool.get("description"), f"{path}.description"),
            grammar=fields.record(tool.get("format"), f"{path}.format") or None,
        )
    name = hosted_name(kind)
    search = _decode_search(tool) if name == "web_search" else None
    return Tool(name, "hosted", native=tool, format=NAME, search=search)


def _decode_search(tool: dict[str, Any]) -> Search | None:
    size, domains = tool.get("search_context_size"), object_of(tool.get("filters")).get("allowed_domains")
    place = words_of(tool.get("user_location"))
    place.pop("type", None)
    wanted = Search(text_of(size), place, texts_of(domains))
    return None if wanted == Search() else wanted


def _encode_search(wanted: Search) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "web_search"}
    if wanted.context_size:
        written["search_context_size"] = wanted.context_size
    if wanted.place:
        written["user_location"] = {"type": "approximate", **wanted.place}
    if wanted.allowed_domains:
        written["filters"] = {"allowed_domains": list(wanted.allowed_domains)}
    return written


def _decode_function(tool: dict[str, Any], path: str) -> Tool:
    # Some clients nest it as Chat does.
    declared = {**tool, **fields.record(tool.get("function"), f"{path}.function")}
    parameters = declared.get("parameters")
    known = _FUNCTION_MEMBERS | REMEMBERED
    rest = {name: value for name, value in declared.items() if name not in known and value is not None}
    return Tool(
        _name(declared, path),
        description=fields.text(declared.get("description"), f"{path}.description"),
        schema=None if parameters is None else fields.record(parameters, f"{path}.parameters"),
        strict=fields.flag(declared.get("strict"), f"{path}.strict"),
        native=rest or None,
        format=NAME if rest else "",
    )


def _name(tool: dict[str, Any], path: str) -> str:
    name = fields.text(tool.get("name"), f"{path}.name")
    if not name:
        raise fields.missing(f"{path}.name", "the tool's name")
    return name


def decode_choice(choice: Any) -> ToolChoice | None:
    """Return what the model may or must call.

    Raises:
        BadRequest: it is none of the forms that exist.
    """
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice(_mode(choice, "tool_choice"))
    choice = fields.record(choice, "tool_choice")
    kind = fields.text(choice.get("type"), "tool_choice.type")
    if kind == "allowed_tools":
        mode = _mode(choice.get("mode") or "auto", "tool_choice.mode")
        allowed = fields.rows(choice.get("tools"), "tool_choice.tools")
        names = tuple(_chosen(tool, f"tool_choice.tools[{place}]") for place, tool in enumerate(allowed))
        return ToolChoice(mode, names, is_list=True)
    if kind in _MODES:
        return ToolChoice(_mode(kind, "tool_choice.type"))
    return ToolChoice("required", (_chosen(choice, "tool_choice"),))


def _mode(mode: Any, path: str) -> ChoiceMode:
    if mode not in _MODES:
        raise fields.wrong_word(str(mode), path, _MODES)
    return cast(ChoiceMode, mode)


def _chosen(tool: Any, path: str) -> str:
    tool = fields.record(tool, path)
    kind = fields.text(tool.get("type"), f"{path}.type") or "function"
    if kind not in {"function", "custom"}:
        return hosted_name(kind)
    name = _name({**tool, **fields.record(tool.get("function"), f"{path}.function")}, path)
    return joined_name(fields.text(tool.get(SET), f"{path}.{SET}"), name)


def encode_tools(tools: Iterable[Tool], *, is_strict_default: bool = False) -> list[dict[str, Any]]:
    """Return the declarations of a body; see `encode_tool`."""
    return encode_sets((tool, encode_tool(tool, is_strict_default=is_strict_default)) for tool in tools)


def encode_tool(tool: Tool, *, is_strict_default: bool = False) -> dict[str, Any]:
    """Return one declaration.

    `is_strict_default`: leave `strict` out where the client did not say. The format's default is strict, which means
    schemas of a narrow kind; only a client of this very format knows that.
    """
    if tool.kind == "hosted":
        return cast(dict[str, Any], tool.native) if tool.format == NAME else _encode_search(tool.search or Search())
    if is_search(tool):
        return cast(dict[str, Any], tool.native)
    written: dict[str, Any] = {"type": tool.kind, "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.kind == "custom":
        return {**written, "format": tool.grammar} if tool.grammar else written
    written["parameters"] = object_schema(tool.schema)
    if tool.strict is not None or not is_strict_default:
        written["strict"] = bool(tool.strict)
    return {**tool.native, **written} if tool.format == NAME and tool.native else written


def encode_choice(choice: ToolChoice, tools: Iterable[Tool]) -> str | dict[str, Any]:
    """Return the choice among the tools that are declared."""
    if not choice.names or choice.mode == "none":
        return choice.mode
    by_name = {tool.name: tool for tool in tools}
    named = [_reference(by_name.get(name) or Tool(name)) for name in choice.names]
    if choice.is_list or len(named) > 1:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": named}
    return named[0] if choice.mode == "required" else choice.mode


def _reference(tool: Tool) -> dict[str, Any]:
    if tool.kind != "hosted":
        return reference_of(tool)
    native = tool.native if tool.format == NAME else {}
    chosen = {"type": native.get("type", tool.name)}
    return {**chosen, "server_label": native["server_label"]} if "server_label" in native else chosen
