"""Converse answers: content blocks, a stop reason, usage that counts cached input beside the rest."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.codec import Exchange
from routing.engine.failures import said_in
from routing.engine.formats.bedrock_converse.claude import issued
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    FinishReason,
    Media,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import count_of, decode, list_of, object_of, text_of

Json = dict[str, Any]

_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
}
#: A call with this type is one that the host makes itself.
SERVER_CALL = "server_tool_use"


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer.

    Raises:
        ValueError: see the contract.
    """
    try:
        said = object_of(decode(_ANY, body))
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error
    message = object_of(object_of(said.get("output")).get("message"))
    if not message and not text_of(said.get("stopReason")):
        raise ValueError(said_in(body)[0] or "the answer has no message")
    parts: list[Part] = []
    chars = 0
    for block in list_of(message.get("content")):
        part = _part(object_of(block), exchange, chars)
        if part is not None:
            parts.append(part)
            chars += len(part.text) if isinstance(part, Text) else 0
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(tuple(parts), finish_of(said, has_calls))
    tier = text_of(object_of(said.get("serviceTier")).get("type"))
    return ChatAnswer(choices=(choice,), usage=usage_of(said.get("usage")), service_tier=tier)


def _part(block: Json, exchange: Exchange, before: int) -> Part | None:
    """Return a block as a part, None for one that is nothing to a client; `before` is how much text came before."""
    if text := text_of(block.get("text")):
        return Text(text)
    if call := object_of(block.get("toolUse")):
        return _call(call)
    if reasoning := object_of(block.get("reasoningContent")):
        return _reasoning(reasoning, exchange)
    if cited := object_of(block.get("citationsContent")):
        return _cited(cited, before)
    if image := object_of(block.get("image")):
        data = text_of(object_of(image.get("source")).get("bytes"))
        return Media("image", f"image/{text_of(image.get('format')) or 'png'}", data=data) if data else None
    return None


def _call(call: Json) -> ToolCall | None:
    name = text_of(call.get("name"))
    if not name or call.get("type") == SERVER_CALL:
        return None
    given = call.get("input")
    arguments = given if isinstance(given, str) else _encode(object_of(given)).decode()
    return ToolCall(text_of(call.get("toolUseId")) or mint_id(), name, arguments or "{}")


def _reasoning(said: Json, exchange: Exchange) -> Reasoning | None:
    if redacted := text_of(said.get("redactedContent")):
        return Reasoning(state=issued(redacted, exchange, "redacted"), is_redacted=True)
    shown = object_of(said.get("reasoningText"))
    text, signature = text_of(shown.get("text")), text_of(shown.get("signature"))
    if not text and not signature:
        return None
    return Reasoning((text,) if text else (), issued(signature, exchange) if signature else None)


def _cited(said: Json, before: int) -> Text | None:
    text = "".join(text_of(object_of(each).get("text")) for each in list_of(said.get("content")))
    citations = [citation_of(object_of(each), before, before + len(text)) for each in list_of(said.get("citations"))]
    return Text(text, citations=tuple(citations)) if text else None


def citation_of(said: Json, start: int, end: int) -> Citation:
    """Return a citation of the text between two places."""
    quoted = [text_of(object_of(each).get("text")) for each in list_of(said.get("sourceContent"))]
    source = text_of(said.get("source"))
    url = text_of(object_of(object_of(said.get("location")).get("web")).get("url"))
    return Citation(
        url=url or (source if "://" in source else ""),
        title=text_of(said.get("title")) or source,
        start=start,
        end=end,
        quote="".join(quoted),
        native=said,
        format="bedrock-converse",
    )


def finish_of(said: Json, has_calls: bool) -> Finish:
    """Return why an answer ended: a call outranks the upstream's word, unless that is length or filter."""
    word = text_of(said.get("stopReason")) or "end_turn"
    reason = _REASONS.get(word, "other")
    if has_calls and reason not in {"length", "filter"}:
        reason = "tool_calls"
    sequence = text_of(object_of(said.get("additionalModelResponseFields")).get("stop_sequence"))
    return Finish(
        reason,
        sequence=sequence if reason == "stop_sequence" else "",
        detail="" if word in _REASONS and word != "model_context_window_exceeded" else word,
    )


def usage_of(said: Any) -> Usage | None:
    """Return the tokens of an answer; None where it tells none."""
    counts = object_of(said)
    if not counts:
        return None
    read, write = count_of(counts.get("cacheReadInputTokens")), count_of(counts.get("cacheWriteInputTokens"))
    return Usage(
        input_tokens=count_of(counts.get("inputTokens")) + read + write,
        output_tokens=count_of(counts.get("outputTokens")),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=min(_written_1h(counts.get("cacheDetails")), write),
    )


def _written_1h(details: Any) -> int:
    """Return the cache writes that are kept for an hour."""
    return sum(
        count_of(each.get("inputTokens"))
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("ttl") == "1h"
    )
