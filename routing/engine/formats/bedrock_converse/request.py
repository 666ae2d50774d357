"""Converse requests: what all models share in members of its own, the rest in `additionalModelRequestFields`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from routing.engine.betas import ON_CONVERSE, listed
from routing.engine.codec import Exchange, Written
from routing.engine.flattening import json_instruction
from routing.engine.formats.bedrock_converse.claude import add_thinking, is_claude
from routing.engine.formats.bedrock_converse.content import Conversation, cache_point
from routing.engine.messages import Message, Text, Tool, ToolCall, ToolChoice, ToolResult
from routing.engine.schema import object_schema
from routing.engine.wirejson import object_of

Json = dict[str, Any]

_TIERS = frozenset({"default", "flex", "priority"})
_encode = msgspec.json.Encoder().encode


def encode_request(exchange: Exchange) -> Written:
    """Return the request; see the contract.

    Raises:
        BadRequest: media in a format that Converse does not know, or that is not in the request itself.
    """
    request = exchange.request
    conversation = Conversation(exchange)
    body: Json = {"messages": conversation.messages}
    system = _system(exchange)
    tools = _tools(exchange)
    if tools:
        body["toolConfig"] = tools
    inference: Json = {} if request.max_tokens is None else {"maxTokens": max(request.max_tokens, 1)}
    fields: Json = {}
    is_forced = bool(object_of(tools.get("toolChoice")).keys() - {"auto"})
    add_thinking(exchange, inference, fields, may_think=conversation.may_think, is_forced=is_forced)
    _add_sampling(exchange, inference, fields)
    _add_output(exchange, body, system)
    _add_rest(exchange, body)
    betas = [*listed(request.native.get("betas")), *listed(request.native.get("anthropic_beta"))]
    if known := [beta for beta in dict.fromkeys(betas) if beta in ON_CONVERSE]:
        fields["anthropic_beta"] = known
    fields = {**object_of(request.native.get("additionalModelRequestFields")), **fields}
    for name, value in (("system", system), ("inferenceConfig", inference), ("additionalModelRequestFields", fields)):
        if value:
            body[name] = value
    return Written(body)


def _system(exchange: Exchange) -> list[Json]:
    blocks: list[Json] = []
    leading: list[Text] = []
    for message in exchange.request.messages:
        if message.role != "system":
            break
        leading += (part for part in message.parts if isinstance(part, Text))
    for part in (*exchange.request.system, *leading):
        if part.text.strip():
            blocks += ({"text": part.text}, *cache_point(part.cache, exchange.target.capabilities))
    return blocks


def _add_sampling(exchange: Exchange, inference: Json, fields: Json) -> None:
    """Write what thinking leaves of the sampling parameters, and the stop sequences."""
    request, can, losses = exchange.request, exchange.target.capabilities, exchange.losses
    is_thinking = object_of(fields.get("thinking")).get("type", "disabled") != "disabled"
    for feature, name in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "top_k")):
        value = getattr(request, feature)
        if value is None:
            continue
        is_one_too_many = feature == "top_p" and "temperature" in inference and not can.sampling_together
        if is_one_too_many or (is_thinking and not can.sampling_with_reasoning):
            if (feature, value) != ("temperature", 1):
                losses.dropped(feature)
        elif feature != "top_k":
            inference[name] = value
        elif "nova" in exchange.target.model:
            fields["inferenceConfig"] = {"topK": value}
        else:
            fields[name] = value
    if stop := [sequence for sequence in request.stop if sequence.strip()]:
        inference["stopSequences"] = stop
    if len(stop) < len(request.stop):
        losses.dropped("stop")


def _add_output(exchange: Exchange, body: Json, system: list[Json]) -> None:
    """Hold the model to a schema where it can be, else ask for JSON in the system prompt."""
    output = exchange.request.output
    if output is None:
        return
    if output.schema is None or not exchange.target.capabilities.structured_output:
        system.append({"text": json_instruction(output)})
        exchange.losses.emulated("response_format")
        return
    schema: Json = {"schema": _encode(output.schema).decode()}
    for name in ("name", "description"):
        if said := getattr(output, name):
            schema[name] = said
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _add_rest(exchange: Exchange, body: Json) -> None:
    request, can = exchange.request, exchange.target.capabilities
    if request.stop and is_claude(exchange.target):
        # Which sequence ended the answer is told on demand only.
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    if request.service_tier in _TIERS and can.service_tier:
        body["serviceTier"] = {"type": request.service_tier}
    elif request.service_tier not in {"", "auto", "default"}:
        exchange.losses.dropped("service_tier")
    if request.metadata and (said := {key: value for key, value in request.metadata.items() if _is_text(value)}):
        body["requestMetadata"] = said
    for name in ("guardrailConfig", "performanceConfig"):
        if name in request.native:
            body[name] = request.native[name]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# --- tools ----------------------------------------------------------------------------------------------------------


def _tools(exchange: Exchange) -> Json:
    """Return `toolConfig`, which must be there as soon as the history holds a call, empty where there is no need."""
    request, losses = exchange.request, exchange.losses
    tools = [tool for tool in request.tools if tool.kind == "function"]
    if len(tools) < len(request.tools):
        losses.dropped("web_search")
    called = _called(request.messages)
    choice = request.tool_choice
    if choice is not None and choice.mode == "none" and tools and not called:
        # There is no way to say that none may be called but to offer none.
        losses.emulated("tool_choice")
        return {}
    if not tools:
        tools = [Tool(name) for name in called]
        if tools:
            losses.emulated("tools")
        choice = None
    if not tools:
        return {}
    written_choice, tools = _choice(choice, tools, exchange)
    written: Json = {"tools": [block for tool in tools for block in _tool(tool, exchange)]}
    if written_choice:
        written["toolChoice"] = written_choice
    return written


def _called(messages: Iterable[Message]) -> list[str]:
    """Return the names of the tools in the history, each once."""
    parts = (part for message in messages for part in message.parts)
    names = (part.name for part in parts if isinstance(part, ToolCall | ToolResult))
    return list(dict.fromkeys(name for name in names if name))


def _tool(tool: Tool, exchange: Exchange) -> Iterable[Json]:
    can = exchange.target.capabilities
    spec: Json = {"name": tool.name, "inputSchema": {"json": object_schema(tool.schema)}}
    if tool.description.strip():
        spec["description"] = tool.description
    if tool.strict and can.strict_tools:
        spec["strict"] = True
    elif tool.strict:
        exchange.losses.dropped("strict")
    yield {"toolSpec": spec}
    if can.cached_tools:
        yield from cache_point(tool.cache, can)


def _choice(choice: ToolChoice | None, tools: list[Tool], exchange: Exchange) -> tuple[Json, list[Tool]]:
    """Return what must be called, and the tools among which."""
    can, losses = exchange.target.capabilities, exchange.losses
    if choice is None:
        return {}, tools
    if choice.mode == "none" or (choice.mode == "required" and not can.required_choice):
        losses.dropped("tool_choice")
        return {}, tools
    if choice.mode == "required" and len(choice.names) == 1 and can.named_choice:
        return {"tool": {"name": choice.names[0]}}, tools
    if choice.names:
        tools = [tool for tool in tools if tool.name in choice.names] or tools
        losses.emulated("allowed_tools" if choice.is_list else "tool_choice")
    return {"any" if choice.mode == "required" else "auto": {}}, tools
