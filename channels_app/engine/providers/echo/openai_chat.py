"""Echo in OpenAI Chat Completions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import PositiveInt, Reply, Tool, Turn, reply_to, text_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Wire, data_event, new_id


class _Message(Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    stream_options: _StreamOptions | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer a chat completion."""
    body = _decode(request.body)
    turns = [_turn(message) for message in body.messages]
    reply = reply_to(turns, _tool(body), body.max_completion_tokens or body.max_tokens)
    head = {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion.chunk" if request.is_stream else "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_echo",
    }
    if not request.is_stream:
        return _whole(head, reply)
    has_usage = bool(body.stream_options and body.stream_options.include_usage)
    return _stream(head, reply, has_usage=has_usage)


OPERATIONS = {"openai-chat": Wire(answer, error)}


def _turn(message: _Message) -> Turn:
    text = text_of(message.content)
    if message.role in {"tool", "function"}:
        return Turn("result", text)
    return Turn("user" if message.role == "user" else "other", text)


def _tool(body: _Body) -> Tool | None:
    """Return the first offered function, unless the caller forbids calls."""
    if body.tool_choice == "none":
        return None
    for tool in body.tools or ():
        function = tool.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return Tool(function["name"], function.get("parameters"))
    return None


def _finish_reason(reply: Reply) -> str:
    if reply.tool:
        return "tool_calls"
    return "length" if reply.is_cut else "stop"


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _whole(head: dict[str, Any], reply: Reply) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.tool:
        function = {"name": reply.tool, "arguments": reply.arguments}
        message |= {"content": None, "tool_calls": [{"id": new_id("call_"), "type": "function", "function": function}]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return encode({**head, "choices": [choice], "usage": _usage(reply)})


def _stream(head: dict[str, Any], reply: Reply, *, has_usage: bool) -> Iterator[bytes]:
    if has_usage:
        # Whoever asks for usage gets the key in every chunk, and the numbers in one of their own at the end.
        head = {**head, "usage": None}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return data_event({**head, "choices": [choice]})

    if reply.tool:
        call = {"index": 0, "id": new_id("call_"), "type": "function"}
        call["function"] = {"name": reply.tool, "arguments": ""}
        yield chunk({"role": "assistant", "content": None, "tool_calls": [call], "refusal": None})
        for piece in reply.argument_pieces():
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for word in reply.words():
            yield chunk({"content": word})
    end = chunk({}, _finish_reason(reply))
    if has_usage:
        end += data_event({**head, "choices": [], "usage": _usage(reply)})
    yield end + b"data: [DONE]\n\n"
