"""What the OpenAI formats share: the error object and its words, usage, the model listing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError, Kind
from routing.engine.format import NO_QUERY, Answer, Format

_encode = msgspec.json.Encoder().encode

_TYPES: dict[Kind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "invalid_request_error",
    "permission": "invalid_request_error",
    "not_found": "invalid_request_error",
    "too_large": "invalid_request_error",
    "rate_limit": "requests",
    "quota": "insufficient_quota",
    "overloaded": "server_error",
    "unavailable": "server_error",
    "timeout": "server_error",
    "server": "server_error",
}

# Words of error objects inside streams, by `code` first, then by `type`.
_STATUSES = {
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "server_is_overloaded": 503,
    "overloaded": 503,
    "overloaded_error": 503,
    "slow_down": 503,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "invalid_prompt": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "timeout": 504,
    "invalid_request_error": 400,
    "server_error": 500,
}


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Both spellings: Chat and Embeddings count prompt and completion, Responses and Images input and output."""

    prompt_tokens: int | None = None
    input_tokens: int | None = None
    completion_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    #: DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: int | None = None


_USAGE = msgspec.json.Decoder(_Usage | None)
_NO_USAGE = _Usage()
_NO_DETAILS = _Details()


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """Return the tokens that a usage object reports; None for null, nothing at all, or an object of another shape."""
    if not raw:
        return None
    try:
        usage = _USAGE.decode(raw)
    except ValueError:
        return None
    if usage is None or usage == _NO_USAGE:
        return None
    in_details = usage.prompt_tokens_details or usage.input_tokens_details or _NO_DETAILS
    out_details = usage.completion_tokens_details or usage.output_tokens_details or _NO_DETAILS
    cache_read = in_details.cached_tokens or usage.prompt_cache_hit_tokens or 0
    cache_write = in_details.cache_write_tokens or 0
    return Usage(
        # Some upstreams leave cached tokens out of the input; the input is never less than its cached part.
        input_tokens=max(usage.prompt_tokens or usage.input_tokens or 0, cache_read + cache_write),
        output_tokens=usage.completion_tokens or usage.output_tokens or 0,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=out_details.reasoning_tokens or 0,
    )


def text_of(value: Any) -> str:
    """Return a value where it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def failure_of(error: Any) -> tuple[str, int]:
    """Return the text of an error object and the HTTP status that its words stand for, 0 when they are not known."""
    if not isinstance(error, dict):
        return text_of(error) or "the upstream reported an error", 0
    message = text_of(error.get("message")) or "the upstream reported an error"
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 600:  # OpenRouter puts the status there
        return message, code
    status = _STATUSES.get(text_of(code)) or _STATUSES.get(text_of(error.get("type")), 0)
    return message, status


def error_object(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the `error` object, with the request id for people who see nothing but the text of an exception."""
    shown: dict[str, Any] = {
        "message": error.message,
        "type": _TYPES[error.kind],
        "param": error.param,
        "code": error.code,
        "request_id": request_id,
    }
    if error.suggestions:
        shown["suggestions"] = error.suggestions
    return shown


class OpenAIShaped(Format):
    """A format with OpenAI's errors and model listing."""

    def error_body(self, error: GatewayError, request_id: str) -> tuple[int, bytes]:
        """Return `{"error": {…}}`; 529 is Anthropic's and becomes 503."""
        status = 503 if error.status == 529 else error.status
        return status, _encode({"error": error_object(error, request_id)})

    def model_list(self, models: Sequence[str], created_s: int, query: Mapping[str, str] = NO_QUERY) -> bytes:
        """Return `{"object": "list", "data": […]}`; there are no pages."""
        return _encode({"object": "list", "data": [_card(model, created_s) for model in models]})

    def model_card(self, model: str, created_s: int) -> bytes:
        """Return one entry of the listing."""
        return _encode(_card(model, created_s))


def _card(model: str, created_s: int) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": created_s, "owned_by": "routex"}


class AnswerFacts(msgspec.Struct):
    """What whole answers share; a format adds the member that shows it is one of its own."""

    model: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw()


def answer_of(facts: AnswerFacts) -> Answer:
    """Return the facts of an answer.

    Raises:
        ValueError: it is an error that came with status 200.
    """
    if facts.error:
        raise ValueError(failure_of(facts.error)[0])
    return Answer(usage=read_usage(facts.usage), model=text_of(facts.model))
