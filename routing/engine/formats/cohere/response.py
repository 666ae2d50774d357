"""Chat answers: blocks of thinking and text, a plan before calls, citations by offset, usage in two counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.failures import said_in
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    FinishReason,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import count_of, decode, list_of, object_of, text_of

_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "filter",
}
#: Reasons that are failures: what is there of the answer is not what the model would have said.
FAILURES = {"ERROR": 500, "TIMEOUT": 504}


def decode_answer(body: bytes) -> ChatAnswer:
    """Return a whole answer.

    Raises:
        ValueError: see the contract.
    """
    try:
        said = object_of(decode(_ANY, body))
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error
    message = object_of(said.get("message"))
    if not message:
        raise ValueError(said_in(body)[0] or "the answer has no message")
    word = text_of(said.get("finish_reason"))
    if word in FAILURES:
        raise ValueError(f"the answer ended with {word}")
    parts = _parts(message)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(parts, finish_of(word, has_calls))
    return ChatAnswer(text_of(said.get("id")), choices=(choice,), usage=usage_of(said.get("usage")))


def _parts(message: dict[str, Any]) -> tuple[Part, ...]:
    citations = [object_of(each) for each in list_of(message.get("citations"))]
    parts: list[Part] = []
    plan = text_of(message.get("tool_plan"))
    if plan:
        parts.append(Text(plan, citations=_citations_of("PLAN", 0, citations, 0)))
    before = len(plan)
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)
    for number, block in enumerate(map(object_of, blocks)):
        if thinking := text_of(block.get("thinking")):
            parts.append(Reasoning((thinking,)))
        if text := text_of(block.get("text")):
            parts.append(Text(text, citations=_citations_of("TEXT_CONTENT", number, citations, before)))
            before += len(text)
    for call in list_of(message.get("tool_calls")):
        function = object_of(object_of(call).get("function"))
        if name := text_of(function.get("name")):
            call_id = text_of(object_of(call).get("id")) or mint_id()
            parts.append(ToolCall(call_id, name, arguments_of(function.get("arguments")) or "{}"))
    return tuple(parts)


def _citations_of(kind: str, number: int, citations: Iterable[dict[str, Any]], before: int) -> tuple[Citation, ...]:
    """Return the citations of one block; `before` is how much text of the answer stands before it."""
    return tuple(
        each
        for citation in citations
        if (text_of(citation.get("type")) or "TEXT_CONTENT") == kind
        and (kind == "PLAN" or count_of(citation.get("content_index")) == number)
        for each in citations_of(citation, before)
    )


def citations_of(said: dict[str, Any], before: int) -> Iterable[Citation]:
    """Yield a citation for each source of a passage of the answer."""
    start, end = before + count_of(said.get("start")), before + count_of(said.get("end"))
    for source in map(object_of, list_of(said.get("sources"))):
        document = object_of(source.get("document")) or object_of(source.get("tool_output"))
        yield Citation(
            url=text_of(document.get("url")),
            title=text_of(document.get("title")) or text_of(source.get("id")),
            start=start,
            end=end,
            quote=text_of(document.get("snippet")) or text_of(document.get("text")),
            native=said,
            format="cohere",
        )


def arguments_of(value: Any) -> str:
    """Return a call's arguments as text, also where an upstream wrote an object."""
    return _encode(value).decode() if isinstance(value, dict) else text_of(value)


def finish_of(word: str, has_calls: bool) -> Finish:
    """Return why an answer ended: a call outranks the upstream's word, unless that is length or filter."""
    reason = _REASONS.get(word or "COMPLETE", "other")
    if has_calls and reason not in {"length", "filter"}:
        reason = "tool_calls"
    return Finish(reason, detail=word if reason == "other" else "")


def usage_of(said: Any) -> Usage | None:
    """Return the tokens of an answer: those that passed the model, or those billed where it tells no others."""
    usage = object_of(said)
    counts = object_of(usage.get("tokens")) or object_of(usage.get("billed_units"))
    if not counts:
        return None
    return Usage(
        input_tokens=count_of(counts.get("input_tokens")),
        output_tokens=count_of(counts.get("output_tokens")),
        cache_read_tokens=count_of(usage.get("cached_tokens")),
    )
