"""Echo in Anthropic Messages, and its count of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import (
    NaturalInt,
    Reply,
    Tool,
    Turn,
    reply_to,
    text_of,
    tokens_in,
)
from channels_app.engine.providers.echo.wire import Answer, Wire, named_event, new_id

_ERROR_TYPES = {
    400: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class _Message(Struct):
    role: str
    content: str | list[dict[str, Any]]


class _CountBody(Struct, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None


class _Body(_CountBody, kw_only=True):
    max_tokens: NaturalInt


_decode = Decoder(_Body).decode
_decode_count = Decoder(_CountBody).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer a message."""
    body = _decode(request.body)
    reply = reply_to(_turns(body), _tool(body), body.max_tokens)
    message: dict[str, Any] = {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(reply.input_tokens, 1),
    }
    if request.is_stream:
        return _stream(message, reply)
    message["content"] = _content(reply)
    message["stop_reason"] = _stop_reason(reply)
    message["usage"] = _usage(reply.input_tokens, reply.output_tokens)
    return encode(message)


def count(request: UpstreamRequest) -> bytes:
    """Answer how many tokens a message would have: as many as its answer will report."""
    return encode({"input_tokens": tokens_in(_turns(_decode_count(request.body)))})


def error(status: int, message: str, request_id: str) -> bytes:
    """Return the error body."""
    details = {"type": _ERROR_TYPES[status], "message": message}
    return encode({"type": "error", "error": details, "request_id": request_id})


OPERATIONS = {
    "anthropic": Wire(answer, error, b"request-id"),
    "anthropic:count_tokens": Wire(count, error, b"request-id"),
}


def _turns(body: _CountBody) -> list[Turn]:
    return [Turn("other", text_of(body.system)), *(_turn(message) for message in body.messages)]


def _turn(message: _Message) -> Turn:
    text = text_of(message.content)
    if message.role != "user" or isinstance(message.content, str):
        return Turn("user" if message.role == "user" else "other", text)
    results = [text_of(block.get("content")) for block in message.content if block.get("type") == "tool_result"]
    if results:
        # Clients add reminders of their own after the results; all of it is one turn.
        return Turn("result", " ".join(filter(None, [*results, text])))
    return Turn("user", text)


def _tool(body: _Body) -> Tool | None:
    """Return the first tool that the client runs itself, unless the caller forbids calls."""
    if body.tool_choice and body.tool_choice.get("type") == "none":
        return None
    for tool in body.tools or ():
        if "input_schema" in tool and isinstance(tool.get("name"), str):
            return Tool(tool["name"], tool["input_schema"])
    return None


def _stop_reason(reply: Reply) -> str:
    if reply.tool:
        return "tool_use"
    return "max_tokens" if reply.is_cut else "end_turn"


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _content(reply: Reply) -> list[dict[str, Any]]:
    if reply.tool:
        arguments = Raw(reply.arguments.encode())
        return [{"type": "tool_use", "id": new_id("toolu_"), "name": reply.tool, "input": arguments}]
    # No room for a single word leaves no block at all: a text block is never empty.
    return [{"type": "text", "text": reply.text}] if reply.text else []


def _stream(message: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    opening = named_event({"type": "message_start", "message": message})
    closing = b""
    for block in _content(reply):
        if reply.tool:
            start: dict[str, Any] = {**block, "input": {}}
            deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in reply.argument_pieces())
        else:
            start = {**block, "text": ""}
            deltas = ({"type": "text_delta", "text": word} for word in reply.words())
        yield (
            opening
            + named_event({"type": "content_block_start", "index": 0, "content_block": start})
            + named_event({"type": "ping"})
        )
        opening = b""
        for delta in deltas:
            yield named_event({"type": "content_block_delta", "index": 0, "delta": delta})
        closing = named_event({"type": "content_block_stop", "index": 0})
    stop = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
    yield (
        opening
        + closing
        + named_event({"type": "message_delta", "delta": stop, "usage": usage})
        + named_event({"type": "message_stop"})
    )
