"""The items of an answer's `output`, and the response object around them, as clients read them."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.codec import Exchange
from routing.engine.formats.openai_responses.tools import encode_choice, encode_tools
from routing.engine.formats.openai_responses.toolsets import SEARCH_CALL
from routing.engine.messages import Finish, Media, Opaque, OutputFormat, Tool, ToolChoice
from routing.engine.provenance import wrap
from routing.engine.toolnames import ToolNames
from routing.engine.turns import joined

Item = dict[str, Any]
_encode = msgspec.json.Encoder().encode

_INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter"}


def status_of(finish: Finish | None) -> str:
    """Return the word for how an answer ended."""
    return "incomplete" if finish is not None and finish.reason in _INCOMPLETE else "completed"


def message_item(item_id: str, content: list[Any], status: str, phase: str = "") -> Item:
    """Return a message of the model."""
    item = {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}
    return {**item, "phase": phase} if phase else item


def text_content(text: str, annotations: list[Any], logprobs: list[Any]) -> Item:
    """Return a message's text."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def reasoning_item(item_id: str, texts: list[str], state: Opaque | None, *, is_verbatim: bool = False) -> Item:
    """Return a reasoning item; its encrypted content is whatever opaque state there is, with its origin."""
    item: Item = {"id": item_id, "type": "reasoning", "summary": []}
    if is_verbatim:
        item["content"] = [{"type": "reasoning_text", "text": text} for text in texts]
    else:
        item["summary"] = [{"type": "summary_text", "text": text} for text in texts]
    if state is not None:
        item["encrypted_content"] = wrap(state)
    return item


def call_item(
    item_id: str,
    call_id: str,
    name: str,
    arguments: str,
    *,
    custom: bool = False,
    native: dict[str, Any] | None = None,
    status: str = "completed",
) -> Item:
    """Return a call of a client's tool; a function's arguments are JSON, so none are an empty object."""
    item: Item = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name, "status": status}
    if native:
        item = {**native, **item}
    if custom:
        return {**item, "type": "custom_tool_call", "input": arguments}
    return {**item, "arguments": arguments or "{}"}


def search_item(item_id: str, call_id: str, arguments: str, status: str = "completed") -> Item:
    """Return a search for tools, which the client does; its arguments are an object, not JSON text."""
    item = {"id": item_id, "type": SEARCH_CALL, "call_id": call_id, "execution": "client", "status": status}
    try:
        return {**item, "arguments": msgspec.json.decode(arguments or "{}")}
    except ValueError:
        return {**item, "arguments": {}}


def image_item(item_id: str, media: Media) -> Item:
    """Return a picture that the model made."""
    kind = media.media_type.partition("/")[2] or "png"
    return {
        "id": item_id,
        "type": "image_generation_call",
        "status": "completed",
        "result": media.data,
        "output_format": kind,
    }


def native_item(item_id: str, item: Item) -> Item:
    """Return an item of another kind as its upstream wrote it, with an id where it has none: clients rely on one."""
    return item if isinstance(item.get("id"), str) and item["id"] else {**item, "id": item_id}


def full_logprobs(tokens: list[Any]) -> list[Any]:
    """Return log probabilities with the bytes and alternatives that this format always has."""
    return [_full_logprob(token) for token in tokens if isinstance(token, dict)]


def _full_logprob(token: dict[str, Any]) -> dict[str, Any]:
    tops = [_with_bytes(top) for top in token.get("top_logprobs") or () if isinstance(top, dict)]
    return {**_with_bytes(token), "top_logprobs": tops}


def _with_bytes(token: dict[str, Any]) -> dict[str, Any]:
    text = str(token.get("token") or "")
    given = token.get("bytes")
    return {
        "token": text,
        "bytes": given if isinstance(given, list) else list(text.encode("utf-8", "replace")),
        "logprob": token.get("logprob") or 0.0,
    }


class Envelope:
    """The response object of one answer: its id and what it repeats of the request stay the same throughout."""

    def __init__(self, exchange: Exchange, answer_id: str = "", created_s: int = 0) -> None:
        base = exchange.request_id.removeprefix("req_") or secrets.token_hex(12)
        # An upstream of this very format has named it already, and may be asked for it by that name.
        self.id = answer_id if answer_id.startswith("resp_") else f"resp_{base}"
        self._base = base
        self._items = 0
        self.created_s = created_s or int(time.time())
        self._repeated = _repeated(exchange)

    def item_id(self, prefix: str) -> str:
        """Return the id of the next item."""
        self._items += 1
        return f"{prefix}_{self._base}_{self._items}"

    def written(
        self,
        status: str,
        output: list[Any],
        *,
        finish: Finish | None = None,
        usage: Usage | None = None,
        service_tier: str = "",
        error: dict[str, Any] | None = None,
    ) -> bytes:
        """Return the response object as JSON."""
        reason = _INCOMPLETE.get(finish.reason) if finish is not None and status == "incomplete" else None
        changing: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": self.created_s,
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": output,
            "usage": usage_written(usage),
        }
        if service_tier:
            changing["service_tier"] = service_tier
        return _encode({**self._repeated, **changing})


def usage_written(usage: Usage | None) -> dict[str, Any] | None:
    """Return the tokens of an answer; every number is there, since Codex and the SDKs read them all."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _repeated(exchange: Exchange) -> dict[str, Any]:
    """Return what a response repeats of its request, and defaults for what the client left open."""
    request = exchange.request
    tools = [_as_declared(tool, exchange.names) for tool in request.tools]
    thinking = request.thinking
    repeated = {
        "model": request.model,
        "background": False,
        "instructions": joined(request.system) or None,
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": request.native.get("max_tool_calls"),
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.native.get("previous_response_id"),
        "prompt_cache_key": request.cache_key or None,
        "reasoning": {
            "effort": None if thinking is None else thinking.effort,
            "summary": None if thinking is None else thinking.summary,
        },
        "service_tier": request.service_tier or "default",
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": _format_of(request.output), "verbosity": request.verbosity or "medium"},
        "tool_choice": _choice_of(request.tool_choice, tools, exchange.names),
        "tools": encode_tools(tools),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.native.get("truncation") or "disabled",
        "user": request.user or None,
    }
    # Encoded once: a stream tells it three times.
    return {name: msgspec.Raw(_encode(value)) for name, value in repeated.items()}


def _as_declared(tool: Tool, names: ToolNames) -> Tool:
    """Return a tool under the client's name and of the client's kind, before it was fitted to the upstream."""
    name = names.restore(tool.name)
    if tool.kind == "function" and names.is_custom(name):
        return Tool(name, "custom", tool.description, native=tool.native, format=tool.format)
    return replace(tool, name=name)


def _choice_of(choice: ToolChoice | None, tools: list[Tool], names: ToolNames) -> Any:
    if choice is None:
        return "auto"
    return encode_choice(replace(choice, names=tuple(map(names.restore, choice.names))), tools)


def _format_of(output: OutputFormat | None) -> dict[str, Any]:
    if output is None:
        return {"type": "text"}
    if output.kind == "json_object":
        return {"type": "json_object"}
    schema = output.schema or {"type": "object"}
    return {"type": "json_schema", "name": output.name or "response", "schema": schema, "strict": bool(output.strict)}
