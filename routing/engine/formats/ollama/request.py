"""Chat requests: messages with pictures beside their text, options in an object of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channels_app.engine.capabilities import Capabilities
from routing.engine.arguments import as_object
from routing.engine.codec import Exchange, Written
from routing.engine.effort import nearest, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.flattening import result_text, text_and_media
from routing.engine.losses import Losses
from routing.engine.messages import (
    ChatRequest,
    Media,
    Message,
    Part,
    Reasoning,
    Tool,
    ToolCall,
    ToolResult,
)
from routing.engine.schema import object_schema
from routing.engine.turns import joined
from routing.engine.wirejson import object_of

Json = dict[str, Any]

#: The words that `think` takes beside true and false.
_LEVELS = ("low", "medium", "high", "max")
#: Our name of a feature → its name among the options.
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


def encode_request(exchange: Exchange) -> Written:
    """Return the request; see the contract.

    Raises:
        BadRequest: a document that is no text, or a picture that is not in the request itself.
    """
    request, can, losses = exchange.request, exchange.target.capabilities, exchange.losses
    body: Json = {
        "model": exchange.target.model,
        "messages": _messages(request, can, losses),
        "stream": request.is_stream,
    }
    if tools := _tools(request, can, losses):
        body["tools"] = tools
    if options := _options(request):
        body["options"] = options
    if request.output is not None:
        is_by_schema = request.output.schema is not None and can.structured_output
        body["format"] = request.output.schema if is_by_schema else "json"
    if (think := _think(request, can, losses)) is not None:
        body["think"] = think
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    if request.service_tier not in {"", "auto", "default"}:
        losses.dropped("service_tier")
    if "keep_alive" in request.native:
        body["keep_alive"] = request.native["keep_alive"]
    return Written(body)


# --- messages -------------------------------------------------------------------------------------------------------


def _messages(request: ChatRequest, can: Capabilities, losses: Losses) -> list[Json]:
    messages: list[Json] = []
    if system := joined(request.system):
        messages.append({"role": "system", "content": system})
    for message in request.messages:
        if message.role == "assistant":
            messages += _assistant(message, can, losses)
        else:
            messages += _asked(message, can, losses)
    return messages


def _asked(message: Message, can: Capabilities, losses: Losses) -> Iterable[Json]:
    """Yield what a tool, the user or the operator says, tools first."""
    loose: list[Media] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            text, media = result_text(part, losses)
            written: Json = {"role": "tool", "content": text, "tool_name": part.name}
            if can.tool_message_images:
                yield _with_images(written, media)
            else:
                yield written
                loose += media
    if loose:
        yield _with_images({"role": "user", "content": "What the tools showed:"}, loose)
    texts, media = text_and_media(message.parts)
    if texts or media:
        yield _with_images({"role": message.role, "content": joined(texts)}, media)


def _assistant(message: Message, can: Capabilities, losses: Losses) -> Iterable[Json]:
    texts, media = text_and_media(message.parts)
    written: Json = {"role": "assistant", "content": "".join(part.text for part in texts)}
    if thinking := _thinking(message.parts, can, losses):
        written["thinking"] = thinking
    if calls := [part for part in message.parts if isinstance(part, ToolCall)]:
        written["tool_calls"] = [{"function": _called(call, losses)} for call in calls]
    _with_images(written, media)
    if len(written) > 2 or written["content"]:
        yield written


def _called(call: ToolCall, losses: Losses) -> Json:
    arguments, is_faithful = as_object(call.arguments)
    if not is_faithful:
        losses.emulated("tool_arguments")
    if call.state is not None:
        losses.left_behind()
    return {"name": call.name, "arguments": arguments}


def _thinking(parts: Iterable[Part], can: Capabilities, losses: Losses) -> str:
    """Return the thinking that goes back; what only its issuer could read means nothing here."""
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    shown = "\n\n".join(part.text for part in thoughts if part.text) if can.reasoning_content_input else ""
    if thoughts and not shown:
        losses.left_behind()
    return shown


def _with_images(message: Json, media: Iterable[Media]) -> Json:
    if images := [_image(each) for each in media]:
        message["images"] = images
    return message


def _image(media: Media) -> str:
    """Return a picture's bare base64."""
    if media.kind != "image" or not media.data:
        what = "a picture by URL" if media.kind == "image" else f"a {media.media_type or media.kind} that is no text"
        raise BadRequest(
            f"This model is served by a server that cannot take {what}. Send pictures as base64, documents as text.",
            code="unsupported_parameter",
            param="messages",
        )
    return media.data


# --- tools, options, thinking ----------------------------------------------------------------------------------------


def _tools(request: ChatRequest, can: Capabilities, losses: Losses) -> list[Json]:
    """Return the tools that may be called: the format cannot say which must be, so the choice decides what is told."""
    functions = [tool for tool in request.tools if tool.kind == "function"]
    if len(functions) < len(request.tools):
        losses.dropped("web_search")
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        losses.emulated("tool_choice")
        return []
    if choice is not None and choice.mode == "required":
        losses.dropped("tool_choice")
    if any(tool.strict for tool in functions):
        losses.dropped("strict")
    names = choice.names if choice is not None else ()
    return [_tool(tool) for tool in functions if not names or tool.name in names]


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": object_schema(tool.schema)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _options(request: ChatRequest) -> Json:
    """Return the options: the client's own (`num_ctx`, …) below those that every format knows."""
    options = dict(object_of(request.native.get("options")))
    for feature, name in _OPTIONS.items():
        if (value := getattr(request, feature)) is not None:
            options[name] = value
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _think(request: ChatRequest, can: Capabilities, losses: Losses) -> bool | str | None:
    """Return whether, or how hard, to think; None leaves it to the model. One that cannot refuses to be asked."""
    thinking = request.thinking
    effort = wanted_effort(thinking) if thinking is not None else None
    if thinking is None or (effort is None and thinking.mode is None):
        return None
    if can.thinking == "none" or can.thinking_switch != "think":
        if effort != "none":
            losses.dropped("thinking")
        return None
    if effort is None or effort == "none":
        return effort is None
    # Most models know on and off only.
    levels = [level for level in _LEVELS if level in can.efforts]
    return nearest(effort, levels) if levels else True
