"""A conversation as the request for an upstream: the members that its target knows, and no others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.content import write_mark
from routing.engine.formats.openai_chat.messages_encoder import write_messages
from routing.engine.formats.openai_chat.thinking import DIALECTS, is_thinking, write_thinking
from routing.engine.formats.openai_chat.tools import write_tools
from routing.engine.formats.openai_chat.vocabulary import FORMAT, KNOWS_JSON_MODE, SHARED_CACHING
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, OutputFormat, Text, Thinking, ToolResult

JSON = dict[str, Any]

_MAX_USER_CHARS = 64
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
#: Sampling that models refuse while they think.
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
#: Tiers that say what happens anyway.
_USUAL_TIERS = {"", "auto", "default"}
_JSON_ONLY = "Answer with one JSON object and nothing else."
_encode = msgspec.json.Encoder().encode


def encode_request(exchange: Exchange) -> JSON:
    """Return the body for the exchange's target."""
    request, can, losses = exchange.request, exchange.target.capabilities, exchange.losses
    native = request.native if request.format == FORMAT else {}
    request = exchange.request = _yielding(request, can, losses)
    thinking = write_thinking(request.thinking, can, native, losses)
    shape, instruction = _write_output(request, can, losses)
    system = (*request.system, Text(instruction)) if instruction else request.system
    said_anew = {"safety_identifier", "user", *SHARED_CACHING, *(DIALECTS if request.thinking is not None else ())}
    native = {name: value for name, value in native.items() if name not in said_anew}
    body: JSON = {**native, "model": exchange.target.model, "messages": write_messages(exchange, system)}
    body |= _write_stream(request, can)
    body |= _write_numbers(request, can, losses)
    body |= thinking
    if not can.sampling_with_reasoning and _is_thinking(body, can):
        _drop_sampling(body, losses)
    body |= write_tools(request, can, losses)
    body |= shape
    body |= _write_user(request, can)
    body |= _write_rest(request, can, losses)
    return body


def _yielding(request: ChatRequest, can: Capabilities, losses: Losses) -> ChatRequest:
    """Return a request that demands a tool without its thinking, where the upstream refuses both together."""
    choice = request.tool_choice
    if can.choice_while_thinking or choice is None or choice.mode != "required" or not request.tools:
        return request
    is_named = len(choice.names) == 1 and not choice.is_list and can.named_choice
    if not (is_named or can.required_choice) or not is_thinking(request.thinking, can):
        return request
    if request.thinking is not None:
        losses.dropped("thinking")
    return replace(request, thinking=Thinking("disabled"))


def _write_stream(request: ChatRequest, can: Capabilities) -> JSON:
    if not request.is_stream and (can.whole_while_thinking or not is_thinking(request.thinking, can)):
        return {}
    if not can.stream_usage:
        return {"stream": True}
    given = request.native.get("stream_options") if request.format == FORMAT else None
    options = given if isinstance(given, dict) else {}
    return {"stream": True, "stream_options": {**options, "include_usage": True}}


def _write_numbers(request: ChatRequest, can: Capabilities, losses: Losses) -> JSON:
    top_logprobs = request.top_logprobs if can.logprobs else None
    if top_logprobs != request.top_logprobs:
        losses.dropped("top_logprobs")
    members: JSON = {
        can.max_tokens_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k if can.top_k else None,
        "stop": list(request.stop) or None,
        can.seed_field: request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": request.logit_bias,
        "n": request.choices if request.choices > 1 else None,
        "logprobs": True if top_logprobs is not None else request.logprobs,
        "top_logprobs": top_logprobs,
    }
    return {name: value for name, value in members.items() if value is not None}


def _is_thinking(body: JSON, can: Capabilities) -> bool:
    effort = body.get("reasoning_effort")
    return can.reasons_by_default if effort is None else effort != "none"


def _drop_sampling(body: JSON, losses: Losses) -> None:
    for name in _SAMPLING:
        if body.pop(name, None) is not None:
            losses.dropped(name)


def _write_user(request: ChatRequest, can: Capabilities) -> JSON:
    """Return who the end user is, under the client's own names, in no more characters than upstreams take."""
    if not request.user:
        return {}
    said = {name: request.native[name] for name in ("safety_identifier", "user") if request.native.get(name)}
    if request.user not in said.values() or not can.safety_identifier:
        said = {"user": request.user}
    return {name: _short(value) for name, value in said.items()}


def _short(user: str) -> str:
    if len(user) <= _MAX_USER_CHARS:
        return user
    return hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


def _write_rest(request: ChatRequest, can: Capabilities, losses: Losses) -> JSON:
    members: JSON = {}
    if request.metadata and can.metadata:
        members["metadata"] = request.metadata
    if request.verbosity is not None and can.verbosity:
        members["verbosity"] = request.verbosity
    if request.cache_key and can.cache_key:
        members["prompt_cache_key"] = request.cache_key
    for name in SHARED_CACHING:
        if can.cache_key and name in request.native:
            members[name] = request.native[name]
        elif name in request.native:
            losses.dropped(name)
    if can.cache_control:
        members |= write_mark(request.cache, can)
    if can.service_tier and request.service_tier:
        members["service_tier"] = request.service_tier
    elif request.service_tier not in _USUAL_TIERS:
        losses.dropped("service_tier")
    return members


# --- the shape of the answer -----------------------------------------------------------------------------------------


def _write_output(request: ChatRequest, can: Capabilities, losses: Losses) -> tuple[JSON, str]:
    """Return the member that asks for JSON, and the words that ask for it where no member can."""
    output = request.output
    if output is None:
        return {}, ""
    schema = output.schema if output.kind == "json_schema" else None
    if schema is not None and can.structured_output and can.schema_as_value:
        return {"response_format": {"type": "json", "value": schema}}, ""
    if schema is not None and can.structured_output:
        return {"response_format": {"type": "json_schema", "json_schema": _named(output, schema, request)}}, ""
    shape: JSON = {"response_format": {"type": "json_object"}} if can.json_object else {}
    if schema is not None:
        losses.emulated("response_format")
        return shape, f"{_JSON_ONLY} It must be valid against this JSON Schema:\n{_encode(schema).decode()}"
    if not can.json_object:
        losses.emulated("response_format")
        return {}, _JSON_ONLY
    # Upstreams refuse this mode where no message speaks of JSON; clients of other formats do not know that.
    is_said = request.format in KNOWS_JSON_MODE or _speaks_of_json(request)
    return shape, "" if is_said else _JSON_ONLY


def _named(output: OutputFormat, schema: JSON, request: ChatRequest) -> JSON:
    named: JSON = {"name": _FOREIGN.sub("_", output.name)[:64] or "response", "schema": schema}
    if output.description:
        named["description"] = output.description
    strict = output.strict
    if strict is None and request.format != FORMAT and is_closed(schema):
        strict = True
    if strict is not None:
        named["strict"] = strict
    return named


def is_closed(schema: Any) -> bool:
    """Whether a schema names every member of every object and demands them all, as strict mode wants."""
    if isinstance(schema, list):
        return all(map(is_closed, schema))
    if not isinstance(schema, dict):
        return True
    members = schema.get("properties")
    if isinstance(members, dict) or schema.get("type") == "object":
        members = members if isinstance(members, dict) else {}
        required = schema.get("required")
        if schema.get("additionalProperties") is not False:
            return False
        demanded = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        if demanded != members.keys() or not all(map(is_closed, members.values())):
            return False
    nested = (schema.get(name) for name in ("items", "anyOf"))
    named = (schema.get(name) for name in ("$defs", "definitions"))
    inner = (each for table in named if isinstance(table, dict) for each in table.values())
    return all(map(is_closed, nested)) and all(map(is_closed, inner))


def _speaks_of_json(request: ChatRequest) -> bool:
    return any("json" in text.lower() for text in _texts(request))


def _texts(request: ChatRequest) -> Iterable[str]:
    yield from (text.text for text in request.system)
    for message in request.messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            yield from (each.text for each in inner if isinstance(each, Text))
