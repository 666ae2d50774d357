"""Tools and the choice among them: `tools` and `toolConfig`, there and back."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini.members import Members, a_list, an_object, text, texts, wrong
from routing.engine.losses import Losses
from routing.engine.messages import ChoiceMode, Tool, ToolChoice
from routing.engine.openapi import from_openapi, to_openapi
from routing.engine.schema import object_schema, to_json_schema

FORMAT = "gemini"
#: Tools that the upstream runs itself → our word for them; others keep their own name.
_HOSTED = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "codeExecution": "code_execution",
    "urlContext": "web_fetch",
    "fileSearch": "file_search",
    "computerUse": "computer",
    "mcpServers": "mcp",
}
_MODES: dict[str, ChoiceMode] = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
_DECLARED = frozenset({"name", "description", "parameters", "parametersJsonSchema"})


# --- a client's tools ------------------------------------------------------------------------------------------------


def decode_tools(value: Any) -> tuple[Tool, ...]:
    """Return the tools of a request; one object may declare functions and hosted tools side by side.

    Raises:
        BadRequest: something is not of the shape that the format gives it.
    """
    tools: list[Tool] = []
    for place, each in enumerate(a_list(value, "tools")):
        path = f"tools[{place}]"
        for key, declared in an_object(each, path).items():
            if key == "functionDeclarations":
                functions = a_list(declared, f"{path}.{key}")
                tools += [_function(each, f"{path}.{key}[{number}]") for number, each in enumerate(functions)]
            elif declared is not None:
                tools.append(Tool(_HOSTED.get(key, key), "hosted", native={key: declared}, format=FORMAT))
    return tuple(tools)


def _function(value: Any, path: str) -> Tool:
    declared = an_object(value, path)
    name = text(declared, "name", f"{path}.")
    if not name:
        raise BadRequest(f"`{path}.name` is missing: the model calls a function by its name.", param=f"{path}.name")
    schema = declared.get("parametersJsonSchema")
    key = "parametersJsonSchema" if schema is not None else "parameters"
    schema = declared.get(key)
    if schema is not None and not isinstance(schema, dict):
        raise wrong(f"{path}.{key}", schema, "a schema object")
    unread = {name: each for name, each in declared.items() if name not in _DECLARED and each is not None}
    return Tool(
        name,
        description=text(declared, "description", f"{path}."),
        schema=from_openapi(schema) if key == "parameters" else schema,
        native=unread or None,
        format=FORMAT if unread else "",
    )


def decode_choice(value: Any) -> tuple[ToolChoice | None, Members]:
    """Return the choice that a `toolConfig` makes, and its members that only this format has.

    Raises:
        BadRequest: something is not of the shape that the format gives it.
    """
    config = an_object(value, "toolConfig")
    native = {name: each for name, each in config.items() if name != "functionCallingConfig" and each is not None}
    path = "toolConfig.functionCallingConfig"
    calling = an_object(config.get("functionCallingConfig"), path)
    word = text(calling, "mode", f"{path}.").upper().removeprefix("MODE_")
    names = texts(calling, "allowedFunctionNames", f"{path}.")
    if word in {"", "UNSPECIFIED"}:
        return None, native
    mode = _MODES.get(word)
    if mode is None:
        raise BadRequest(
            f"`{path}.mode` must be AUTO, ANY, NONE or VALIDATED, not {calling['mode']!r}.", param=f"{path}.mode"
        )
    if word == "VALIDATED" and not names:
        # Not told apart from AUTO elsewhere: the choice says which functions, and each tool how strict it is.
        native["functionCallingConfig"] = {"mode": word}
    if not names or mode == "none":
        return ToolChoice(mode), native
    return ToolChoice(mode, names, is_list=mode == "auto" or len(names) > 1), native


# --- an upstream's tools ---------------------------------------------------------------------------------------------


def encode_tools(exchange: Exchange) -> list[Members]:
    """Return the tools of a request: all functions in one entry, each hosted tool in its own."""
    functions: list[Members] = []
    hosted: list[Members] = []
    for tool in exchange.request.tools:
        if tool.kind != "hosted":
            functions.append(_declaration(tool, exchange))
        elif tool.format == exchange.target.format and isinstance(tool.native, dict):
            hosted.append(tool.native)
        elif tool.name == "web_search":
            hosted.append({"googleSearch": {}})
    if functions and {"googleSearch": {}} in hosted and not _mixes_tools(exchange):
        hosted.remove({"googleSearch": {}})
        exchange.losses.dropped("web_search")
    return ([{"functionDeclarations": functions}] if functions else []) + hosted


def _mixes_tools(exchange: Exchange) -> bool:
    """Whether a search may stand beside functions: models before the third generation answer 400."""
    return exchange.target.capabilities.tool_result_media or exchange.request.format == exchange.target.format


def _declaration(tool: Tool, exchange: Exchange) -> Members:
    declared: Members = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.schema and exchange.target.capabilities.gemini_schema == "json":
        declared["parametersJsonSchema"] = to_json_schema(tool.schema)
    elif tool.schema:
        narrowed = to_openapi(object_schema(tool.schema))
        # An object without members is refused; no parameters at all say the same.
        if narrowed.get("properties"):
            declared["parameters"] = narrowed
    if tool.format == exchange.target.format and isinstance(tool.native, dict):
        declared |= tool.native
    return declared


def encode_choice(exchange: Exchange) -> Members | None:
    """Return the `functionCallingConfig` of a request, None where it needs none."""
    request, losses = exchange.request, exchange.losses
    functions = [tool for tool in request.tools if tool.kind != "hosted"]
    choice = _among(request.tool_choice, functions, losses)
    is_strict = any(tool.strict for tool in functions)
    if not functions:
        if choice is not None and choice.mode == "required":
            losses.dropped("tool_choice")
        return None
    mode = choice.mode if choice is not None else "auto"
    if is_strict and mode == "auto":
        return {"mode": "VALIDATED", **_allowed(choice)}
    if is_strict:
        losses.dropped("strict")
    if choice is None:
        return None
    if mode == "auto":
        return {"mode": "VALIDATED", **_allowed(choice)} if choice.names else {"mode": "AUTO"}
    return {"mode": "ANY", **_allowed(choice)} if mode == "required" else {"mode": "NONE"}


def _among(choice: ToolChoice | None, functions: list[Tool], losses: Losses) -> ToolChoice | None:
    """Return the choice as far as it is one of functions: a hosted tool cannot be demanded."""
    if choice is None or not choice.names:
        return choice
    offered = {tool.name for tool in functions}
    if names := tuple(name for name in choice.names if name in offered):
        return replace(choice, names=names)
    losses.dropped("tool_choice")
    return None


def _allowed(choice: ToolChoice | None) -> Members:
    return {"allowedFunctionNames": list(choice.names)} if choice is not None and choice.names else {}
