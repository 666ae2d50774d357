"""Echo in OpenAI Responses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import PositiveInt, Reply, Tool, Turn, reply_to, text_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Wire, named_event, new_id


class _Item(Struct):
    type: str = "message"
    role: str = ""
    content: Any = None
    output: Any = None


class _Settings(Struct, kw_only=True):
    """What a response repeats of its request."""

    instructions: Any = None
    max_output_tokens: PositiveInt | None = None
    metadata: Any = field(default_factory=dict)
    parallel_tool_calls: Any = True
    previous_response_id: Any = None
    prompt_cache_key: Any = None
    reasoning: Any = field(default_factory=lambda: {"effort": None, "summary": None})
    safety_identifier: Any = None
    store: Any = True
    temperature: Any = 1.0
    text: Any = field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: Any = "auto"
    tools: list[dict[str, Any]] | None = field(default_factory=list)
    top_p: Any = 1.0
    truncation: Any = "disabled"
    user: Any = None


class _Body(_Settings, kw_only=True):
    input: str | Annotated[list[_Item], Meta(min_length=1)]


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer a response request."""
    body = _decode(request.body)
    reply = reply_to(_turns(body), _tool(body), body.max_output_tokens)
    head = {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "service_tier": "default",
        "usage": None,
        **{name: getattr(body, name) for name in _Settings.__struct_fields__},
    }
    item = _item(reply)
    end = {**head, "status": _status(reply), "output": [item], "usage": _usage(reply)}
    if reply.is_cut:
        end["incomplete_details"] = {"reason": "max_output_tokens"}
    return _stream(head, item, end, reply) if request.is_stream else encode(end)


OPERATIONS = {"openai-responses": Wire(answer, error)}


def _turns(body: _Body) -> list[Turn]:
    system = Turn("other", text_of(body.instructions))
    if isinstance(body.input, str):
        return [system, Turn("user", body.input)]
    return [system, *(_turn(item) for item in body.input)]


def _turn(item: _Item) -> Turn:
    if item.type.endswith("_output"):
        return Turn("result", text_of(item.output))
    return Turn("user" if item.role == "user" else "other", text_of(item.content))


def _tool(body: _Body) -> Tool | None:
    """Return the first offered function, unless the caller forbids calls."""
    if body.tool_choice == "none":
        return None
    for tool in body.tools or ():
        if tool.get("type") == "function" and isinstance(tool.get("name"), str):
            return Tool(tool["name"], tool.get("parameters"))
    return None


def _status(reply: Reply) -> str:
    return "incomplete" if reply.is_cut else "completed"


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }


def _item(reply: Reply) -> dict[str, Any]:
    """Return the one finished item of the output."""
    if reply.tool:
        return {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "completed",
            "call_id": new_id("call_"),
            "name": reply.tool,
            "arguments": reply.arguments,
        }
    return {
        "id": new_id("msg_"),
        "type": "message",
        "status": _status(reply),
        "role": "assistant",
        "content": [_text_part(reply.text)],
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _stream(head: dict[str, Any], item: dict[str, Any], end: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    numbers = count()
    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0}

    def event(kind: str, fields: dict[str, Any]) -> bytes:
        return named_event({"type": f"response.{kind}", "sequence_number": next(numbers), **fields})

    opening = event("created", {"response": head}) + event("in_progress", {"response": head})
    if reply.tool:
        started = {**item, "status": "in_progress", "arguments": ""}
        yield opening + event("output_item.added", {"output_index": 0, "item": started})
        for piece in reply.argument_pieces():
            yield event("function_call_arguments.delta", {**place, "delta": piece})
        done = {**place, "name": reply.tool, "arguments": reply.arguments}
        closing = event("function_call_arguments.done", done)
    else:
        started = {**item, "status": "in_progress", "content": []}
        place["content_index"] = 0
        yield (
            opening
            + event("output_item.added", {"output_index": 0, "item": started})
            + event("content_part.added", {**place, "part": _text_part("")})
        )
        for word in reply.words():
            yield event("output_text.delta", {**place, "delta": word, "logprobs": []})
        closing = event("output_text.done", {**place, "text": reply.text, "logprobs": []})
        closing += event("content_part.done", {**place, "part": item["content"][0]})
    closing += event("output_item.done", {"output_index": 0, "item": item})
    yield closing + event(_status(reply), {"response": end})
