"""A client's request as a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.body import read_members
from routing.engine.errors import BadRequest
from routing.engine.formats.openai_chat.content import cache_mark
from routing.engine.formats.openai_chat.fields import Fields, wrong
from routing.engine.formats.openai_chat.messages_decoder import read_messages
from routing.engine.formats.openai_chat.thinking import DIALECTS, read_thinking
from routing.engine.formats.openai_chat.tools import read_choice, read_tools
from routing.engine.formats.openai_chat.vocabulary import FORMAT
from routing.engine.messages import ChatRequest, OutputFormat
from routing.engine.wirejson import decode

_BODY = msgspec.json.Decoder(dict[str, Any])
#: Members that are understood and are kept for an upstream of this format all the same.
_KEPT = (*DIALECTS, "chat_template_kwargs", "safety_identifier")


def decode_request(body: bytes, model: str, is_stream: bool) -> ChatRequest:
    """Return the conversation of a request.

    Raises:
        BadRequest: see the contract.
    """
    fields = Fields(_members(body))
    system, messages = read_messages(fields)
    is_stream = fields.flag("stream") or is_stream
    output = _output(fields)
    request = ChatRequest(
        format=FORMAT,
        model=fields.text("model") or model,
        messages=messages,
        system=system,
        tools=read_tools(fields),
        tool_choice=read_choice(fields),
        parallel_tool_calls=fields.flag("parallel_tool_calls"),
        max_tokens=_max_tokens(fields),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.count("top_k"),
        stop=_stop(fields),
        seed=fields.count("seed"),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        logit_bias=fields.table("logit_bias"),
        choices=_choices(fields),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.count("top_logprobs"),
        thinking=read_thinking(fields),
        output=output,
        verbosity=fields.text("verbosity") or None,
        user=fields.text("safety_identifier") or fields.text("user"),
        metadata=fields.table("metadata"),
        service_tier=fields.text("service_tier"),
        cache_key=fields.text("prompt_cache_key"),
        cache=cache_mark(fields),
        is_stream=is_stream,
        wants_usage=_wants_usage(fields) if is_stream else True,
    )
    if not request.model:
        raise BadRequest("`model` is missing. Name a model; GET /v1/models lists them.", param="model")
    return msgspec.structs.replace(request, native=_native(fields, output))


def _members(body: bytes) -> dict[str, Any]:
    try:
        return decode(_BODY, body)
    except (ValueError, RecursionError) as error:
        read_members(body)  # says where the body stops being JSON
        raise BadRequest("Body holds a number or text that cannot be read.", code="invalid_json") from error


def _max_tokens(fields: Fields) -> int | None:
    classic, current = fields.count("max_tokens"), fields.count("max_completion_tokens")
    return classic if current is None else current


def _stop(fields: Fields) -> tuple[str, ...]:
    value = fields.get("stop")
    if isinstance(value, str):
        return (value,)
    words = tuple(fields.items("stop"))
    for word, path in words:
        if not isinstance(word, str):
            raise wrong(path, word, "a string")
    return tuple(word for word, _ in words)


def _choices(fields: Fields) -> int:
    choices = fields.count("n")
    if choices is not None and choices < 1:
        raise BadRequest(f"`n` must be at least 1, not {choices}.", param="n")
    return choices or 1


def _wants_usage(fields: Fields) -> bool:
    return fields.inner("stream_options").flag("include_usage") is True


def _output(fields: Fields) -> OutputFormat | None:
    """Return the wanted shape of the answer; None for plain text, and for shapes that only one dialect has."""
    shape = fields.inner("response_format")
    match shape.text("type"):
        case "json_schema":
            inner = shape.inner("json_schema")
            return OutputFormat(
                "json_schema",
                inner.table("schema") or {},
                name=inner.text("name"),
                strict=inner.flag("strict"),
                description=inner.text("description"),
            )
        case "json_object" | "json":
            schema = shape.table("schema") or shape.table("value")
            return OutputFormat("json_object") if schema is None else OutputFormat("json_schema", schema)
    return None


def _native(fields: Fields, output: OutputFormat | None) -> dict[str, Any]:
    """Return the members that only this format and its dialects have."""
    native = fields.rest()
    native |= {name: value for name in _KEPT if (value := fields.members.get(name)) is not None}
    options = fields.members.get("stream_options")
    if isinstance(options, dict) and (rest := {key: each for key, each in options.items() if key != "include_usage"}):
        native["stream_options"] = rest
    shape = fields.members.get("response_format")
    if output is None and isinstance(shape, dict) and shape.get("type") not in (None, "text"):
        native["response_format"] = shape
    if native.get("modalities") == ["text"]:
        del native["modalities"]
    return native
