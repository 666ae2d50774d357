"""Gemini's whole answers, there and back, and its error answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from routing.engine.answers import Collector
from routing.engine.codec import Exchange, UpstreamFailure
from routing.engine.failures import ErrorInside, asked_wait_s, said_wait_s
from routing.engine.formats.gemini.candidates import BLANK, CandidateWriter
from routing.engine.formats.gemini.chunks import Chunks, error_of
from routing.engine.formats.gemini.logprobs import encode_logprobs
from routing.engine.formats.gemini.members import Members
from routing.engine.formats.gemini.vocabulary import encode_usage
from routing.engine.messages import ChatAnswer, Choice, StreamEvent, Text

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_SECONDS = re.compile(r"(\d+(?:\.\d+)?) ?s\b")
#: Words of the refusal of a prompt that is too long for the model.
_TOO_LONG = ("input token count", "exceeds the maximum number of tokens")


# --- an upstream's answer --------------------------------------------------------------------------------------------


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer; a list of chunks is taken for one as well.

    Raises:
        ValueError: see the contract.
    """
    chunks = Chunks(exchange)
    events: list[StreamEvent] = []
    chunks.read(body.strip(), events)
    chunks.close(events, is_whole=True)
    collector = Collector()
    collector.take(events)
    if collector.failure is not None:
        failure = collector.failure
        raise ErrorInside(failure.status, failure.message, failure.code)
    answer = collector.answer()
    if not collector.is_complete:
        raise ValueError("the upstream's answer has no candidates")
    return answer


def decode_error(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
    """Return what an error answer says; see the contract."""
    failure = _said_in(body)
    asked_s = asked_wait_s(headers)
    if asked_s is not None:
        failure.retry_after_s = asked_s
    return failure


def _said_in(body: bytes) -> UpstreamFailure:
    try:
        found = _ANY.decode(body)
    except (ValueError, RecursionError):
        return UpstreamFailure()
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict) or not found.get("error"):
        return UpstreamFailure()
    error = error_of(found["error"])
    message = error.message if isinstance(error.message, str) else ""
    status = error.status if isinstance(error.status, str) else ""
    details = found["error"].get("details") if isinstance(found["error"], dict) else None
    reason = _reason(details)
    # A key that is not valid draws a plain 400 here; only its reason says so.
    code = reason if reason.startswith("API_KEY_") else status
    code = "context_length_exceeded" if all(word in message for word in _TOO_LONG) else code
    return UpstreamFailure(message, code, reason or status, _retry_after_s(details, message))


def _reason(details: Any) -> str:
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
            return str(detail["reason"])
    return ""


def _retry_after_s(details: Any, message: str) -> float | None:
    """Return the wait that RetryInfo asks for (google.rpc), or the text."""
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (found := _SECONDS.match(delay)):
            return float(found[1])
        if isinstance(delay, dict) and isinstance(delay.get("seconds"), int | float):
            return float(delay["seconds"])
    return said_wait_s(message)


# --- a client's answer -----------------------------------------------------------------------------------------------


def answer_id(exchange: Exchange) -> str:
    """Return the id that all of an answer goes by."""
    return exchange.request_id or secrets.token_urlsafe(16)


def encode_answer(answer: ChatAnswer, exchange: Exchange) -> bytes:
    """Return the body of a whole answer."""
    body: Members = {
        "candidates": [_candidate(choice, place, exchange) for place, choice in enumerate(answer.choices)],
        "modelVersion": exchange.request.model,
        "responseId": answer_id(exchange),
    }
    if answer.usage is not None:
        body["usageMetadata"] = encode_usage(answer.usage)
    return _encode(body)


def _candidate(choice: Choice, index: int, exchange: Exchange) -> Members:
    told = CandidateWriter(index, exchange)
    parts: list[Members] = []
    for part in choice.parts:
        if (encoded := told.part(part)) is not None:
            if isinstance(part, Text):
                told.note_text(part.text, len(parts), is_refusal=part.is_refusal)
                told.citations += part.citations
            parts.append(encoded)
    ended = told.end(choice.finish)
    if parts and ended["content"]["parts"] == [BLANK]:
        ended["content"]["parts"] = []
    ended["content"]["parts"] = parts + ended["content"]["parts"]
    if choice.logprobs:
        ended["logprobsResult"] = encode_logprobs(choice.logprobs)
    return ended


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def decode_count(body: bytes) -> int:
    """Return the tokens of a count; raises ValueError where the body does not say."""
    return _COUNT.decode(body).total_tokens
