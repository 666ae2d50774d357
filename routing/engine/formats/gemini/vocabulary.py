"""What Gemini's bodies share, passed on or translated: token counts, the error object, the model listing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.catalogue import Kind
from routing.engine.errors import GatewayError

_encode = msgspec.json.Encoder().encode

_STATUSES: dict[Kind, str] = {
    "invalid_request": "INVALID_ARGUMENT",
    "authentication": "UNAUTHENTICATED",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "too_large": "INVALID_ARGUMENT",
    "rate_limit": "RESOURCE_EXHAUSTED",
    "quota": "RESOURCE_EXHAUSTED",
    "overloaded": "UNAVAILABLE",
    "unavailable": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
    "server": "UNAVAILABLE",
}

# HTTP statuses of Google's words, for errors that carry no number.
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class _OfKind(msgspec.Struct, rename="camel"):
    modality: Any = None
    token_count: Any = None


#: Token counts by what they stand for.
_Kinds = list[_OfKind] | None


class UsageCounts(msgspec.Struct, rename="camel"):
    """Token counts as Google reports them: thoughts are counted beside the candidates, not in them."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: _Kinds = None
    tool_use_prompt_tokens_details: _Kinds = None
    cache_tokens_details: _Kinds = None
    candidates_tokens_details: _Kinds = None

    def total(self, *, includes_cache: bool = True) -> Usage:
        """Return them in our terms: all input, all output."""
        prompt = _count(self.prompt_token_count) + _count(self.tool_use_prompt_token_count)
        cached, thoughts = _count(self.cached_content_token_count), _count(self.thoughts_token_count)
        candidates = self.candidates_token_count
        if candidates is None:
            candidates = (self.total_token_count or 0) - prompt - thoughts
        asked = (*(self.prompt_tokens_details or ()), *(self.tool_use_prompt_tokens_details or ()))
        cache, answered = self.cache_tokens_details or (), self.candidates_tokens_details or ()
        return Usage(
            input_tokens=max(prompt if includes_cache else prompt + cached, cached),
            output_tokens=_count(candidates) + thoughts,
            cache_read_tokens=cached,
            reasoning_tokens=thoughts,
            input_audio_tokens=max(_of_kind(asked, _AUDIO) - _of_kind(cache, _AUDIO), 0),
            output_audio_tokens=_of_kind(answered, _AUDIO),
            input_image_tokens=max(_of_kind(asked, _IMAGE) - _of_kind(cache, _IMAGE), 0),
            output_image_tokens=_of_kind(answered, _IMAGE),
        )


_AUDIO = ("AUDIO",)
#: Pages of documents count as pictures of them.
_IMAGE = ("IMAGE", "DOCUMENT")


def _of_kind(counts: Sequence[_OfKind], modalities: tuple[str, ...]) -> int:
    return sum(_count(each.token_count) for each in counts if each.modality in modalities)


def usage_of(counts: Mapping[str, Any], *, includes_cache: bool = True) -> Usage:
    """Return the usage that an upstream reports, whatever is missing, null or negative in it."""
    told: dict[str, Any] = {}
    for field, name in _NAMES.items():
        said = counts.get(name)
        if isinstance(said, list):
            told[field] = [_OfKind(each.get("modality"), each.get("tokenCount")) for each in said if _is_object(each)]
        elif said is not None and name.endswith("Count"):
            told[field] = _count(said)
    return UsageCounts(**told).total(includes_cache=includes_cache)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


#: Our name of a count → Google's.
_NAMES = dict(zip(UsageCounts.__struct_fields__, UsageCounts.__struct_encode_fields__, strict=True))


def _count(value: Any) -> int:
    if type(value) is int:  # true and false are no counts
        return value if value > 0 else 0
    return max(int(value), 0) if isinstance(value, float) else 0


def encode_usage(usage: Usage) -> dict[str, int]:
    """Return usage as clients read it: thoughts beside the candidates, cached input within the prompt."""
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(usage.output_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_read_tokens:
        counts["cachedContentTokenCount"] = usage.cache_read_tokens
    return counts


class ErrorObject(msgspec.Struct):
    """The `error` member of error bodies and of chunks."""

    code: Any = None
    message: Any = None
    status: Any = None

    @property
    def failure(self) -> tuple[str, int]:
        """Return the text and the HTTP status, 0 when neither number nor word is known."""
        message = self.message if isinstance(self.message, str) else ""
        code = self.code if isinstance(self.code, int) else 0
        word = self.status if isinstance(self.status, str) else ""
        return message or "the upstream reported an error", code or _HTTP.get(word, 0)


def error_body(error: GatewayError, request_id: str) -> tuple[int, bytes]:
    """Return status and body of an error answer; 529 is Anthropic's and becomes 503.

    A fault of the upstream's own is INTERNAL; that no upstream could be had is UNAVAILABLE.

    Our own code goes into ErrorInfo, a wait into RetryInfo, the request id into RequestInfo, and where the code is
    explained into Help (google.rpc).
    """
    http = 503 if error.status == 529 else error.status
    is_internal = http == 500 or (error.is_relayed and error.kind == "server")
    status = "INTERNAL" if is_internal else _STATUSES[error.kind]
    info: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code,
        "domain": "routex",
    }
    details: list[dict[str, Any]] = [
        info,
        {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id},
    ]
    metadata = {"suggestions": ", ".join(error.suggestions)} if error.suggestions else {}
    if error.upstream is not None:
        metadata |= {"channel": error.upstream[0], "status": str(error.upstream[1])}
    if metadata:
        info["metadata"] = metadata
    if error.docs:
        details.append({"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": error.docs}]})
    if error.retry_after_s is not None:
        delay = f"{math.ceil(max(error.retry_after_s, 0.0))}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return http, _encode({"error": {"code": http, "message": error.message, "status": status, "details": details}})


def model_list(models: Sequence[str], *, next_page: str = "") -> bytes:
    """Return one page of the listing."""
    listed: dict[str, Any] = {"models": [_card(model) for model in models]}
    return _encode(listed | ({"nextPageToken": next_page} if next_page else {}))


def model_card(model: str) -> bytes:
    """Return one entry of the listing."""
    return _encode(_card(model))


def resource_name(model: str) -> str:
    """Return an upstream's model as bodies name it; whoever took it from the upstream's listing has it so already."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _card(model: str) -> dict[str, Any]:
    return {
        "name": model if model.startswith("tunedModels/") else f"models/{model}",
        "version": model,
        "displayName": model,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens", "embedContent"],
    }
