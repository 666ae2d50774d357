"""Chat requests: text before a call is its plan, tools are demanded all or none, `p` and `k` are sampling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange, Written
from routing.engine.effort import budget_of, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.flattening import json_instruction, plain_text, result_text, text_and_media
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, Media, Message, Part, Reasoning, Text, Tool, ToolCall, ToolResult
from routing.engine.schema import object_schema
from routing.engine.turns import joined

Json = dict[str, Any]

#: Our name of a number → the format's, and the least and greatest it takes.
_NUMBERS: dict[str, tuple[str, float, float]] = {
    "max_tokens": ("max_tokens", 0, 2**31),
    "temperature": ("temperature", 0.0, 2.0),
    "top_p": ("p", 0.01, 0.99),
    "top_k": ("k", 0, 500),
    "seed": ("seed", 0, 2**64 - 1),
    "presence_penalty": ("presence_penalty", 0.0, 1.0),
    "frequency_penalty": ("frequency_penalty", 0.0, 1.0),
}


def encode_request(exchange: Exchange) -> Written:
    """Return the request; see the contract.

    Raises:
        BadRequest: a document that is no text.
    """
    request, can, losses = exchange.request, exchange.target.capabilities, exchange.losses
    tools = _tools(request, can, losses)
    body: Json = {"model": exchange.target.model, "messages": _messages(request, can, losses)}
    if request.is_stream:
        body["stream"] = True
    body |= _numbers(request, losses)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    body |= tools
    if (thinking := _thinking(request, can, losses)) is not None:
        body["thinking"] = thinking
    _demand_json(request, can, body, losses)
    if request.service_tier not in {"", "auto", "default"}:
        losses.dropped("service_tier")
    return Written(body | request.native)


def _numbers(request: ChatRequest, losses: Losses) -> Json:
    written: Json = {}
    for feature, (name, least, greatest) in _NUMBERS.items():
        value = getattr(request, feature)
        if value is not None:
            written[name] = min(max(value, least), greatest)
            if written[name] != value:
                losses.clamped(feature)
    return written


# --- messages -------------------------------------------------------------------------------------------------------


def _messages(request: ChatRequest, can: Capabilities, losses: Losses) -> list[Json]:
    messages: list[Json] = []
    if system := joined(request.system):
        messages.append({"role": "system", "content": system})
    for message in request.messages:
        if message.role == "assistant":
            messages += _assistant(message, can, losses)
        else:
            messages += _asked(message, losses)
    return messages


def _asked(message: Message, losses: Losses) -> Iterable[Json]:
    """Yield what tools, the user or the operator say, tools first."""
    loose: list[Media] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            text, media = result_text(part, losses)
            loose += media
            yield {"role": "tool", "tool_call_id": part.call_id, "content": text}
    if loose:
        yield {"role": "user", "content": [_text("What the tools showed:"), *map(_image, loose)]}
    blocks = list(_blocks(message.parts))
    if any(block["type"] != "text" for block in blocks):
        yield {"role": message.role, "content": blocks}
    elif blocks:
        yield {"role": message.role, "content": "\n\n".join(block["text"] for block in blocks)}


def _blocks(parts: Iterable[Part]) -> Iterable[Json]:
    for part in parts:
        if isinstance(part, Text) and part.text:
            yield _text(part.text)
        elif isinstance(part, Media):
            text = plain_text(part) if part.kind == "document" else None
            yield _image(part) if text is None else _text(text)


def _assistant(message: Message, can: Capabilities, losses: Losses) -> Iterable[Json]:
    text = "".join(part.text for part in text_and_media(message.parts)[0])
    thoughts = [part for part in message.parts if isinstance(part, Reasoning)]
    shown = [part.text for part in thoughts if part.text] if can.reasoning_content_input else []
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if (thoughts and not shown) or any(call.state is not None for call in calls):
        losses.left_behind()
    content: list[Json] = [{"type": "thinking", "thinking": thought} for thought in shown]
    written: Json = {"role": "assistant"}
    if calls:
        written["tool_calls"] = [_call(call) for call in calls]
        if text:
            written["tool_plan"] = text
    elif text:
        content.append(_text(text))
    if content:
        written["content"] = content if shown else text
    if len(written) > 1:
        yield written


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _image(media: Media) -> Json:
    if media.kind != "image":
        raise BadRequest(
            f"This model is served over a format that cannot take a {media.media_type or media.kind} that is no text. "
            "Send documents as text, or ask a model that takes them.",
            code="unsupported_parameter",
            param="messages",
        )
    source: Json = {"url": media.url or f"data:{media.media_type or 'image/png'};base64,{media.data}"}
    if media.detail:
        source["detail"] = media.detail
    return {"type": "image_url", "image_url": source}


# --- tools, thinking, output ----------------------------------------------------------------------------------------


def _tools(request: ChatRequest, can: Capabilities, losses: Losses) -> Json:
    tools = [tool for tool in request.tools if tool.kind == "function"]
    if len(tools) < len(request.tools):
        losses.dropped("web_search")
    choice = request.tool_choice
    if choice is not None and choice.names:
        # A tool cannot be demanded by name, but it can be the only one.
        tools = [tool for tool in tools if tool.name in choice.names]
        losses.emulated("tool_choice")
    if not tools:
        return {}
    written: Json = {"tools": [_tool(tool) for tool in tools]}
    if choice is not None and choice.mode != "auto":
        written["tool_choice"] = choice.mode.upper()
    if any(tool.strict for tool in tools):
        # Strictness is for all tools at once, and for those only that demand an argument.
        if can.strict_tools and all(tool.strict and (tool.schema or {}).get("required") for tool in tools):
            written["strict_tools"] = True
        else:
            losses.dropped("strict")
    return written


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": object_schema(tool.schema)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _thinking(request: ChatRequest, can: Capabilities, losses: Losses) -> Json | None:
    """Return the switch and budget of thinking; None leaves it to the model."""
    thinking = request.thinking
    effort = wanted_effort(thinking) if thinking is not None else None
    if thinking is None or (effort is None and thinking.mode is None):
        return None
    if can.thinking == "none":
        if effort != "none":
            losses.dropped("thinking")
        return None
    if effort == "none":
        return {"type": "disabled"}
    budget = thinking.budget_tokens
    if budget is None and thinking.effort is not None:
        budget = budget_of(thinking.effort, can.max_thinking)
    if budget is not None and request.max_tokens is not None and budget >= request.max_tokens:
        budget = request.max_tokens // 2  # thinking counts against the same limit as the answer
    return {"type": "enabled", "token_budget": budget} if budget is not None and budget > 0 else {"type": "enabled"}


def _demand_json(request: ChatRequest, can: Capabilities, body: Json, losses: Losses) -> None:
    """Ask for JSON: by the format's own member, or in words where that cannot stand (beside tools)."""
    output, messages = request.output, body["messages"]
    if output is None:
        return
    if "tools" not in body and can.json_object:
        body["response_format"] = {"type": "json_object"}
        if output.schema is not None and can.structured_output:
            body["response_format"]["json_schema"] = output.schema
        return
    losses.emulated("response_format")
    if not messages or messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": json_instruction(output)})
    else:
        messages[0]["content"] += f"\n\n{json_instruction(output)}"
