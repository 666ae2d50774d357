"""Words of Chat Completions and its dialects: why an answer ended, its id, its usage."""

from __future__ import annotations

from typing import Any

from analytics.engine.record import Usage
from routing.engine.messages import ChatRequest, Finish, FinishReason
from routing.engine.toolnames import mint_id

FORMAT = "openai-chat"
#: Members that other formats may have by the same names, in the same sense.
SHARED_CACHING = ("prompt_cache_retention", "prompt_cache_options")
SHARED = frozenset({*SHARED_CACHING, "safety_identifier", "user"})
#: Formats whose clients know that JSON mode wants to be spoken of in a message.
KNOWS_JSON_MODE = frozenset({FORMAT, "openai-responses"})
#: `Tool.native` of a tool that came in the legacy `functions`: its caller reads `function_call`, not `tool_calls`.
LEGACY = "functions"
#: The member of a message that holds opaque reasoning, the place of a state that is a whole list of such details, and
#: the type of a detail that nobody but its issuer can read.
DETAILS = "reasoning_details"
ENCRYPTED = "reasoning.encrypted"

#: The upstream's word → ours.
_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "normal": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filter",
    "content_filtered": "filter",
    "sensitive": "filter",
    "safety": "filter",
    "refusal": "filter",
    "guardrail_intervened": "filter",
}
#: Words of an upstream that broke its answer off.
BROKEN = {
    "error": 502,
    "abort": 502,
    "network_error": 502,
    "insufficient_system_resource": 503,
}
_WORDS: dict[FinishReason, str] = {"length": "length", "tool_calls": "tool_calls", "filter": "content_filter"}

_TIERS = {"auto", "default", "flex", "scale", "priority", "fast"}


def finish_of(word: str, sequence: str, has_calls: bool) -> Finish:
    """Return why an answer ended: a tool call outranks the upstream's word, except that it was cut or filtered.

    `sequence` is the stop sequence that ended it, where the upstream names it.
    """
    reason = _REASONS.get(word.lower(), "other")
    if reason in {"length", "filter"}:
        return Finish(reason)
    if has_calls:
        return Finish("tool_calls")
    if reason == "stop" and sequence:
        return Finish("stop_sequence", sequence)
    if reason == "other":
        return Finish("other", detail=word)
    return Finish("stop")


def finish_word(finish: Finish | None, has_calls: bool) -> str:
    """Return the finish reason that a client is told, one of the format's closed set."""
    reason = finish.reason if finish is not None else "stop"
    if has_calls and reason not in {"length", "filter"}:
        return "tool_calls"
    if reason == "tool_calls":
        return "stop"
    return _WORDS.get(reason, "stop")


def closing_words(finish: Finish | None) -> tuple[str, str]:
    """Return the text and the refusal of an answer in which the model said nothing: what the upstream says instead."""
    if finish is None or not finish.message:
        return "", ""
    return ("", finish.message) if finish.reason == "filter" else (finish.message, "")


def tier_word(tier: str) -> str:
    """Return a service tier as one of the format's closed set."""
    return tier if tier in _TIERS else "default"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the `usage` object with the details that SDKs and price tables read."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def answer_id(request_id: str) -> str:
    """Return the id of the answer to a request, minted where the request has none."""
    return f"chatcmpl-{request_id.removeprefix('req_') or mint_id().removeprefix('call_')}"


def is_legacy(request: ChatRequest) -> bool:
    """Whether the client knows only the legacy `functions`."""
    return any(tool.native == LEGACY and tool.format == FORMAT for tool in request.tools)
