"""Whole answers, both ways, and what an upstream's error answer says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.allowance import reset_s
from routing.engine.answers import Collector, without_empty
from routing.engine.arguments import as_object
from routing.engine.codec import Exchange, UpstreamFailure
from routing.engine.failures import ErrorInside, asked_wait_s
from routing.engine.formats.anthropic.ending import said_instead, stop_object
from routing.engine.formats.anthropic.shape import Object
from routing.engine.formats.anthropic.stream_decoder import AnthropicDecoder
from routing.engine.formats.anthropic.vocabulary import NAME, STATUS_OF_TYPE, usage_object
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    StreamEvent,
    Text,
    ToolCall,
)
from routing.engine.provenance import wrap
from routing.engine.toolnames import fit_id, mint_id
from routing.engine.wirejson import decode

_encode = msgspec.json.Encoder().encode
_OBJECT: msgspec.json.Decoder[Object] = msgspec.json.Decoder(Object)

_LIMIT, _RESET = b"anthropic-ratelimit-", b"-reset"
_ID = r"^[a-zA-Z0-9_-]+$"
_MAX_ID = 64
_TIERS_READ = {"standard": "default"}
_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


# --- an upstream's -------------------------------------------------------------------------------------------------


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer: what a stream of its blocks would tell.

    Raises:
        ValueError: see the contract.
    """
    try:
        said = decode(_OBJECT, body)
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error
    if said.get("error") or said.get("type") == "error":
        failure = _error_of(said)
        raise ErrorInside(STATUS_OF_TYPE.get(failure.kind, 0), failure.message, failure.kind)
    if said.get("content") is None and not isinstance(said.get("stop_reason"), str):
        raise ValueError("the answer has no content")
    events: list[StreamEvent] = []
    AnthropicDecoder(exchange).whole(said, events)
    collector = Collector()
    collector.take(events)
    if collector.failure is not None:
        raise ValueError(collector.failure.message)
    usage = said.get("usage")
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    tier = tier if isinstance(tier, str) else ""
    return replace(without_empty(collector.answer()), service_tier=_TIERS_READ.get(tier, tier))


def decode_error(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
    """Return what an error answer says. Never raises."""
    try:
        said = decode(_OBJECT, body)
    except (ValueError, RecursionError):
        said = {}
    failure = _error_of(said)
    failure.retry_after_s = _retry_after_s(headers)
    return failure


def _error_of(said: Object) -> UpstreamFailure:
    error = said.get("error")
    if isinstance(error, str):
        return UpstreamFailure(error)
    if not isinstance(error, dict):
        # Hosts in front of the API tell their own errors as a bare message.
        message = said.get("message") or said.get("detail")
        return UpstreamFailure(message if isinstance(message, str) else "")
    kind, message = error.get("type"), error.get("message")
    return UpstreamFailure(
        message if isinstance(message, str) else "",
        kind=kind if isinstance(kind, str) and kind in STATUS_OF_TYPE else "",
    )


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Return how long to wait: as said, else until the limits that are used up are full again."""
    asked_s = asked_wait_s(headers)
    if asked_s is not None:
        return asked_s
    now_s = time.time()
    waits = [
        reset_s(value.decode("latin-1").strip(), now_s)
        for name, value in headers.items()
        if name.startswith(_LIMIT) and name.endswith(_RESET) and not _has_left(name.removesuffix(_RESET), headers)
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _has_left(limit: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether something of a limit is said to be left."""
    status = headers.get(limit + b"-status", b"")
    return headers.get(limit + b"-remaining", b"0").strip() != b"0" or status.startswith(b"allowed")


# --- for a client --------------------------------------------------------------------------------------------------


def encode_answer(answer: ChatAnswer, exchange: Exchange) -> bytes:
    """Return the body of a whole answer."""
    choice = answer.choices[0] if answer.choices else Choice()
    finish = choice.finish or Finish("stop")
    content = content_of(choice.parts, exchange)
    if not content and (instead := said_instead(finish)):
        content = [{"type": "text", "text": instead}]
    body = message_object(exchange, content)
    body |= stop_object(
        finish,
        exchange,
        has_calls=any(isinstance(part, ToolCall) for part in choice.parts),
        is_refusal=any(isinstance(part, Text) and part.is_refusal for part in choice.parts),
    )
    body["usage"] = usage_object(answer.usage or Usage())
    body["usage"]["service_tier"] = _TIERS.get(answer.service_tier)
    return _encode(body)


def message_object(exchange: Exchange, content: Sequence[Object] = (), usage: Usage | None = None) -> Object:
    """Return a message as it begins, its id that of the gateway's request; `usage` as far as it is known."""
    return {
        "id": f"msg_{exchange.request_id.removeprefix('req_') or mint_id().removeprefix('call_')}",
        "type": "message",
        "role": "assistant",
        "model": exchange.request.model,
        "content": list(content),
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage_object(usage or Usage()),
    }


def content_of(parts: Iterable[Part], exchange: Exchange) -> list[Object]:
    """Return the content blocks of an answer, and note what has no place there."""
    told = [part for part in parts if _is_told(part, exchange)]
    content: list[Object] = []
    lent: Opaque | None = None
    for place, part in enumerate(told):
        match part:
            case Text():
                content.append(_text(part, exchange))
            case Reasoning():
                lent = _lent(told[place + 1 :]) if part.state is None else None
                content.append(_thought(part, lent, exchange))
            case ToolCall():
                if part.state is not None and part.state != lent:
                    # No thinking before it carries it.
                    content.append(redacted(part.state))
                    lent = part.state
                content.append({**call_object(part, exchange), "input": _input(part, exchange)})
            case Media():
                content.append({"type": "text", "text": f"![]({part.url})"})
            case Native():
                content.append(part.value)
    return content


def _lent(following: Iterable[Part]) -> Opaque | None:
    """Return the state of the call that a thought led to, which the thought has to carry: calls have no slot."""
    led_to = next((part for part in following if isinstance(part, Reasoning | ToolCall)), None)
    return led_to.state if isinstance(led_to, ToolCall) else None


def _is_told(part: Part, exchange: Exchange) -> bool:
    """Whether a part says something that a client of this format can be told."""
    if isinstance(part, Text):
        return bool(part.text)
    if isinstance(part, Reasoning):
        return bool(part.texts or part.state is not None)
    return not isinstance(part, Media | Native) or is_tellable(part, exchange)


def is_tellable(part: Media | Native, exchange: Exchange) -> bool:
    """Whether the format has a place for a whole part; noted where it has none."""
    if isinstance(part, Native):
        if part.format == NAME:
            return True
        exchange.answer_losses.dropped(part.kind)
        return False
    if not part.url:
        exchange.answer_losses.dropped(part.kind)
    return bool(part.url)


def _text(part: Text, exchange: Exchange) -> Object:
    told: Object = {"type": "text", "text": part.text}
    citations = [each for each in (citation_object(each, exchange) for each in part.citations) if each is not None]
    if citations:
        told["citations"] = citations
    return told


def citation_object(citation: Citation, exchange: Exchange) -> Object | None:
    """Return a citation; one of another format as a web search's, its index our mark that it is no one's own."""
    if citation.format == NAME and isinstance(citation.native, dict):
        return citation.native
    if not citation.url:
        exchange.answer_losses.dropped("citations")
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": wrap(exchange.issued("", "citation")),
    }


def _thought(part: Reasoning, lent: Opaque | None, exchange: Exchange) -> Object:
    if not part.texts and part.state is not None and is_redacted(part.state, part.is_redacted):
        return redacted(part.state)
    return {"type": "thinking", "thinking": part.text, "signature": wrap(part.state or lent or exchange.issued(""))}


def is_redacted(state: Opaque, is_said_so: bool) -> bool:
    """Whether thinking without text is told as redacted: all but this format's own thinking that is not shown."""
    return is_said_so or (state.origin is not None and state.origin.format != NAME) or state.place == "redacted"


def redacted(state: Opaque) -> Object:
    """Return the block that carries a state alone."""
    return {"type": "redacted_thinking", "data": wrap(state)}


def call_object(call: Any, exchange: Exchange) -> Object:
    """Return a call (a ToolCall, or a ToolBegan) with an id that this format's upstreams would take as well."""
    own = call.native if exchange.target.format == NAME and call.native else {}
    return {"type": "tool_use", "id": fit_id(call.id or mint_id(), _ID, _MAX_ID), "name": call.name, "input": {}, **own}


def _input(part: ToolCall, exchange: Exchange) -> Object:
    given, is_faithful = as_object(part.arguments)
    if not is_faithful:
        exchange.answer_losses.emulated("tool_arguments")
    return given


class _Count(msgspec.Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def decode_count(body: bytes) -> int:
    """Return the tokens of a count; raises ValueError where the body does not say."""
    return decode(_COUNT, body).input_tokens
