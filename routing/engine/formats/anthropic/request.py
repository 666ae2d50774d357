"""Requests, both ways: a client's body as the canonical conversation, and that as a body for an upstream."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from routing.engine.body import unknown_word
from routing.engine.codec import Exchange, Written
from routing.engine.errors import BadRequest
from routing.engine.formats.anthropic.blocks import clamp_marks, encode_conversation
from routing.engine.formats.anthropic.parts import mark_of, parts_of, text_part
from routing.engine.formats.anthropic.shape import (
    Object,
    count_of,
    flag_of,
    list_of,
    number_of,
    object_of,
    read_body,
    rest_of,
    text_of,
    wrong,
)
from routing.engine.formats.anthropic.structured import closed
from routing.engine.formats.anthropic.thinking import add_sampling, add_thinking, decode_thinking
from routing.engine.formats.anthropic.tools import add_tools, decode_choice, decode_tools
from routing.engine.formats.anthropic.vocabulary import NAME, marked
from routing.engine.messages import ChatRequest, Message, OutputFormat, Role, Text

#: Members that have a place in the canonical request; all others are kept by name.
_KNOWN = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "speed",
        "cache_control",
    }
)
_ROLES: dict[Any, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
#: Claude Code's own bookkeeping at the head of its system prompt; it changes from turn to turn.
_BILLING = "x-anthropic-billing-header:"
_MID_SYSTEM_BETA = "mid-conversation-system-2026-04-07"
_MAX_USER_CHARS = 256
_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}

_encode = msgspec.json.Encoder().encode


# --- read ----------------------------------------------------------------------------------------------------------


def decode_request(body: bytes, model: str, is_stream: bool) -> ChatRequest:
    """Return the conversation of a request, or of a token count's.

    Raises:
        BadRequest: see the contract.
    """
    said = read_body(body)
    thinking, own_thinking = decode_thinking(said)
    choice, parallel = decode_choice(said.get("tool_choice"))
    tier, is_fast = text_of(said.get("service_tier"), "service_tier"), said.get("speed") == "fast"
    return ChatRequest(
        format=NAME,
        model=_model(said, model),
        messages=tuple(_message(each, f"messages[{place}]") for place, each in enumerate(_messages(said))),
        system=_system(said.get("system")),
        tools=decode_tools(said.get("tools")),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=count_of(said.get("max_tokens"), "max_tokens"),
        temperature=number_of(said.get("temperature"), "temperature"),
        top_p=number_of(said.get("top_p"), "top_p"),
        top_k=count_of(said.get("top_k"), "top_k"),
        stop=_stop(said.get("stop_sequences")),
        thinking=thinking,
        output=_output(said),
        user=text_of(object_of(said.get("metadata"), "metadata").get("user_id"), "metadata.user_id"),
        metadata=rest_of(object_of(said.get("metadata"), "metadata"), frozenset({"user_id"})) or None,
        service_tier="fast" if is_fast else "default" if tier == "standard_only" else tier,
        cache=mark_of(said, ""),
        is_stream=is_stream or bool(flag_of(said.get("stream"), "stream")),
        native=_native(said, own_thinking, tier if is_fast else ""),
    )


def _native(said: Object, own_thinking: Object, tier: str) -> Object:
    """Return the members that only this format has, those inside of shared ones included."""
    native = rest_of(said, _KNOWN)
    own_output = rest_of(object_of(said.get("output_config"), "output_config"), frozenset({"effort", "format"}))
    for name, own in (("thinking", own_thinking), ("output_config", own_output), ("service_tier", tier)):
        if own:
            native[name] = own
    return native


def _model(said: Object, model: str) -> str:
    named = text_of(said.get("model"), "model") or model
    if not named:
        raise BadRequest("`model` is missing. Name a model; GET /v1/models lists them.", param="model")
    return named


def _messages(said: Object) -> list[Any]:
    if said.get("messages") is None:
        raise BadRequest("`messages` is missing. Send the conversation as a list of messages.", param="messages")
    return list_of(said.get("messages"), "messages")


def _message(said: Any, path: str) -> Message:
    said = object_of(said, path)
    role = said.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise unknown_word(role, f"{path}.role", _ROLES)
    return Message(_ROLES[role], parts_of(said.get("content"), f"{path}.content"))


def _system(said: Any) -> tuple[Text, ...]:
    if isinstance(said, str):
        said = [said]
    texts = []
    for place, block in enumerate(list_of(said, "system")):
        path = f"system[{place}]"
        text = Text(block) if isinstance(block, str) else text_part(_text_block(block, path), path)
        is_billing = text.text.startswith(_BILLING) and "\n" not in text.text.strip()
        texts.append(msgspec.structs.replace(text, only_for=NAME) if is_billing else text)
    return tuple(texts)


def _text_block(block: Any, path: str) -> Object:
    said = object_of(block, path)
    if said.get("type", "text") != "text":
        raise BadRequest(f"`{path}.type` must be text: a system prompt takes nothing else.", param=f"{path}.type")
    return said


def _stop(said: Any) -> tuple[str, ...]:
    sequences = [said] if isinstance(said, str) else list_of(said, "stop_sequences")
    for place, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise wrong(f"stop_sequences[{place}]", "a string", sequence)
    return tuple(sequences)


def _output(said: Object) -> OutputFormat | None:
    """Return the demanded answer format, in its present place or in that of the beta."""
    path = "output_config.format"
    asked = object_of(object_of(said.get("output_config"), "output_config").get("format"), path)
    if not asked:
        path = "output_format"
        asked = object_of(said.get(path), path)
    if not asked:
        return None
    if asked.get("type") != "json_schema":
        raise BadRequest(f"`{path}.type` must be json_schema.", param=f"{path}.type")
    # The format always holds the model to the schema.
    return OutputFormat("json_schema", object_of(asked.get("schema"), f"{path}.schema"), strict=True)


# --- written -------------------------------------------------------------------------------------------------------


def encode_request(exchange: Exchange) -> Written:
    """Return the request for the exchange's target.

    Raises:
        BadRequest: see the contract.
    """
    request, can = exchange.request, exchange.target.capabilities
    native = dict(request.native)
    conversation = encode_conversation(exchange)
    limit = request.max_tokens
    if limit is None:
        limit = can.max_output or can.default_max_output
    body: Object = {"model": exchange.target.model, "max_tokens": limit, "messages": conversation.messages}
    if request.is_stream:
        body["stream"] = True
    add_tools(body, exchange)
    add_thinking(body, exchange, native.pop("thinking", None), may_think=conversation.may_think)
    add_sampling(body, exchange)
    _add_output(body, exchange, conversation.system, native.pop("output_config", None))
    if conversation.system:
        body["system"] = conversation.system
    _add_rest(body, exchange)
    _fit_context_management(body, native)
    body |= native
    clamp_marks(marked(body, request.cache, can), exchange)
    headers = {"anthropic-version": can.api_version}
    if conversation.has_mid_system:
        headers["anthropic-beta"] = _MID_SYSTEM_BETA
    return Written(body, headers)


def _add_output(body: Object, exchange: Exchange, system: list[Object], own: Any) -> None:
    """Write the demanded answer format where the model is held to it, else ask for it in the system prompt."""
    request, can = exchange.request, exchange.target.capabilities
    output = request.output
    config: Object = body.pop("output_config", {})
    if output is not None and output.schema and can.structured_output and output.kind == "json_schema":
        schema, has_moved = (output.schema, False) if request.format == NAME else closed(output.schema)
        config["format"] = {"type": "json_schema", "schema": schema}
        if has_moved:
            exchange.losses.emulated("response_format")
    elif output is not None:
        system.append({"type": "text", "text": _instruction(output)})
        exchange.losses.emulated("response_format")
    if isinstance(own, dict):
        config |= own
    if config:
        body["output_config"] = config


def _instruction(output: OutputFormat) -> str:
    asked = "Answer with one JSON object and nothing else: no introduction, no explanation, no code fence."
    if not output.schema:
        return asked
    return f"{asked} It must be valid against this JSON Schema:\n{_encode(output.schema).decode()}"


def _add_rest(body: Object, exchange: Exchange) -> None:
    request = exchange.request
    stop = [sequence for sequence in request.stop if sequence.strip()]
    if stop:
        body["stop_sequences"] = stop
    if len(stop) < len(request.stop):
        exchange.losses.dropped("stop")
    if request.user:
        body["metadata"] = {"user_id": _fitting_user(request.user)}
    _add_tier(body, exchange)


def _fitting_user(user: str) -> str:
    """Return the user's id, or a digest where it is too long: cutting it would make one of two."""
    return user if len(user) <= _MAX_USER_CHARS else hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


def _add_tier(body: Object, exchange: Exchange) -> None:
    tier = exchange.request.service_tier
    if not tier:
        return
    if exchange.target.capabilities.service_tier and tier == "fast":
        body["speed"] = "fast"
    elif exchange.target.capabilities.service_tier and tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    elif tier != "auto":
        exchange.losses.dropped("service_tier")


def _fit_context_management(body: Object, native: Object) -> None:
    """Take out the edits that clear thinking where there is none: they are refused then."""
    management = native.get("context_management")
    if not isinstance(management, dict):
        return
    edits = management.get("edits")
    if not isinstance(edits, list) or body.get("thinking", {}).get("type", "disabled") != "disabled":
        return
    kept = [edit for edit in edits if not (isinstance(edit, dict) and "thinking" in str(edit.get("type")))]
    if len(kept) < len(edits):
        native["context_management"] = {**management, "edits": kept}
        if not kept:
            del native["context_management"]
