"""Gemini requests, there and back."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.body import read_members
from routing.engine.codec import Exchange, Written
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini.contents_decoding import decode_contents, decode_system
from routing.engine.formats.gemini.contents_encoding import encode_contents, encode_system
from routing.engine.formats.gemini.depth import MAX_DEPTH, is_too_deep
from routing.engine.formats.gemini.generation import asked_for, decode_generation, encode_generation, is_generation
from routing.engine.formats.gemini.media import decode_detail
from routing.engine.formats.gemini.members import Members, camel, text
from routing.engine.formats.gemini.tools import decode_choice, decode_tools, encode_choice, encode_tools
from routing.engine.messages import ChatRequest, Text
from routing.engine.wirejson import decode

FORMAT = "gemini"
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
#: What is read of a body; everything else in it only this format has.
_READ = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", "model"})
_TIERS = {"unspecified": "", "standard": "default"}
#: Our tiers that this format has, and its words for them; "" leaves the choice to the upstream.
_OWN_TIERS = {"": "", "auto": "", "default": "standard", "flex": "flex", "priority": "priority"}


def decode_request(body: bytes, *, model: str, is_stream: bool) -> ChatRequest:
    """Return the conversation of a request; the path names model and method.

    Raises:
        BadRequest: see the contract.
    """
    return _request(_members(body), model=model, is_stream=is_stream)


def decode_count_request(body: bytes, *, model: str) -> ChatRequest:
    """Return the conversation of a count: `contents` alone, or a whole request in an envelope.

    Raises:
        BadRequest: see the contract.
    """
    members = _members(body)
    inner = members.get("generateContentRequest")
    return _request(camel(inner) if isinstance(inner, dict) else members, model=model, is_stream=False)


def _request(members: Members, *, model: str, is_stream: bool) -> ChatRequest:
    generation, native = decode_generation(members.get("generationConfig"))
    choice, config = decode_choice(members.get("toolConfig"))
    native |= {name: value for name, value in members.items() if name not in _READ and value is not None}
    if config:
        native["toolConfig"] = config
    tier = text(members, "serviceTier", "").lower().removeprefix("service_tier_")
    return ChatRequest(
        FORMAT,
        model,
        decode_contents(members.get("contents"), decode_detail(native.get("mediaResolution"))),
        system=decode_system(members.get("systemInstruction")),
        tools=decode_tools(members.get("tools")),
        tool_choice=choice,
        service_tier=_TIERS.get(tier, tier),
        is_stream=is_stream,
        native=native,
        **generation,
    )


def _members(body: bytes) -> Members:
    try:
        found = decode(_ANY, body)
    except (ValueError, RecursionError):
        read_members(body)  # says where and why, as for every other body
        raise BadRequest("Body cannot be read: a number in it is out of range.", code="invalid_json") from None
    if not isinstance(found, dict):
        read_members(body)
        raise BadRequest("Body must be a JSON object.")
    if is_too_deep(body, found):
        raise BadRequest(f"Body is nested too deeply: {MAX_DEPTH} levels are read.", code="invalid_json")
    return camel(found)


def encode_request(exchange: Exchange) -> Written:
    """Return the request for the exchange's target; path and method are told by the operation."""
    request = exchange.request
    body: Members = {"contents": encode_contents(exchange)}
    asked = asked_for(exchange)
    if (system := encode_system((*request.system, Text(asked)) if asked else request.system)) is not None:
        body["systemInstruction"] = system
    if tools := encode_tools(exchange):
        body["tools"] = tools
    if config := _tool_config(exchange, tools):
        body["toolConfig"] = config
    if generation := encode_generation(exchange):
        body["generationConfig"] = generation
    if tier := _tier(exchange):
        body["serviceTier"] = tier
    for name, value in request.native.items():
        if name != "toolConfig" and not is_generation(name):
            body[name] = value
    return Written(body)


def _tool_config(exchange: Exchange, tools: list[Members]) -> Members:
    config: Members = dict(exchange.request.native.get("toolConfig") or {})
    calling = encode_choice(exchange)
    if calling == {"mode": "AUTO"}:
        config.setdefault("functionCallingConfig", calling)
    elif calling is not None:
        config["functionCallingConfig"] = calling
    if len(tools) > 1 and "functionDeclarations" in tools[0] and exchange.request.format != exchange.target.format:
        config["includeServerSideToolInvocations"] = True  # else these models refuse hosted tools beside functions
    return config


def _tier(exchange: Exchange) -> str:
    tier = exchange.request.service_tier
    own = _OWN_TIERS.get(tier, "")
    has_slot = exchange.target.capabilities.service_tier
    if tier not in _OWN_TIERS or (own not in {"", "standard"} and not has_slot):
        exchange.losses.dropped("service_tier")
        return ""
    return own if has_slot else ""
