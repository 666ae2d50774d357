"""What the OpenAI formats share: the error object and its words, usage, the model listing."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.allowance import reset_s
from routing.engine.catalogue import Kind
from routing.engine.errors import GatewayError, RateLimited
from routing.engine.failures import said_wait_s
from routing.engine.format import NO_QUERY, Allowance, Answer, Format

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


#: An HTTP status that is written as an error's code.
_STATUS = re.compile("[45][0-9][0-9]")
_NUMBER = re.compile(rb"\d+(?:\.\d+)?")
_RESET = b"x-ratelimit-reset"
_REMAINING = b"x-ratelimit-remaining"


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: int | None = None


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
    #: As transcriptions spell it.
    input_token_details: _Details | None = None
    #: Searches as OpenRouter and Perplexity count them.
    server_tool_use: _ServerTools | None = None
    num_search_queries: int | None = None
    #: Cached tokens as DeepSeek, Moonshot and the hosts of Claude call them.
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None


_USAGE = msgspec.json.Decoder(_Usage | None)
_NO_USAGE = _Usage()
_NO_DETAILS = _Details()


def read_usage(raw: msgspec.Raw, input_includes_cache: bool = True) -> Usage | None:
    """Return the tokens that a usage object reports; None for null, nothing at all, or an object of another shape.

    `input_includes_cache` False: the upstream counts cached tokens beside its input tokens.
    """
    if not raw:
        return None
    try:
        usage = _USAGE.decode(raw)
    except msgspec.ValidationError:
        usage = None
    except (ValueError, RecursionError):
        return None
    else:
        return None if usage is None else _told(usage, input_includes_cache)
    try:
        return usage_of(msgspec.json.decode(raw), input_includes_cache)
    except (ValueError, RecursionError):
        return None


def usage_of(members: Any, input_includes_cache: bool = True) -> Usage | None:
    """Return the same for an object that is decoded already; what in it is no count is passed over."""
    if not isinstance(members, dict):
        return None
    try:
        usage = msgspec.convert(members, _Usage)
    except msgspec.ValidationError:
        usage = msgspec.convert({name: _readable(name, value) for name, value in members.items()}, _Usage)
    return _told(usage, input_includes_cache)


def _told(usage: _Usage, input_includes_cache: bool) -> Usage | None:
    if usage == _NO_USAGE:
        return None
    in_details = usage.prompt_tokens_details or usage.input_tokens_details or usage.input_token_details or _NO_DETAILS
    out_details = usage.completion_tokens_details or usage.output_tokens_details or _NO_DETAILS
    cache_read = _count(
        in_details.cached_tokens
        or in_details.cache_read_input_tokens
        or in_details.cache_read_tokens
        or usage.prompt_cache_hit_tokens
        or usage.cached_tokens
        or usage.cache_read_input_tokens
        or usage.cache_read_tokens
    )
    cache_write = _count(
        in_details.cache_write_tokens
        or in_details.cache_write_input_tokens
        or in_details.cache_creation_tokens
        or in_details.cache_creation_input_tokens
        or usage.cache_creation_input_tokens
        or usage.cache_write_tokens
        or usage.cache_write_input_tokens
    )
    input_tokens = _count(usage.prompt_tokens or usage.input_tokens)
    if not input_includes_cache:
        input_tokens += cache_read + cache_write
    return Usage(
        # Some upstreams leave cached tokens out of the input; the input is never less than its cached part.
        input_tokens=max(input_tokens, cache_read + cache_write),
        output_tokens=_count(usage.completion_tokens or usage.output_tokens),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=_count(out_details.reasoning_tokens or usage.reasoning_tokens),
        input_audio_tokens=_count(in_details.audio_tokens),
        output_audio_tokens=_count(out_details.audio_tokens),
        input_image_tokens=_count(in_details.image_tokens),
        output_image_tokens=_count(out_details.image_tokens),
        web_searches=_count(
            usage.server_tool_use.web_search_requests if usage.server_tool_use else usage.num_search_queries
        ),
    )


def _count(tokens: int | None) -> int:
    return max(tokens or 0, 0)


def _readable(name: str, value: Any) -> Any:
    if not (name.endswith("_details") or name == "server_tool_use"):
        return _counted(value)
    return {key: _counted(count) for key, count in value.items()} if isinstance(value, dict) else None


def _counted(value: Any) -> int | None:
    """Return a count, also one that is written as a float; None for what is no count."""
    if isinstance(value, float) and math.isfinite(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text_of(value: Any) -> str:
    """Return a value where it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def failure_of(error: Any) -> tuple[str, int]:
    """Return the text of an error object and the HTTP status that its words stand for, 0 when they are not known."""
    if not isinstance(error, dict):
        return text_of(error) or "the upstream reported an error", 0
    message = text_of(error.get("message")) or "the upstream reported an error"
    code = error.get("code")
    status = int(code) if isinstance(code, str) and _STATUS.fullmatch(code) else code
    if isinstance(status, int) and 400 <= status < 600:  # OpenRouter puts the status there, others as a text
        return message, status
    status = _STATUSES.get(text_of(code)) or _STATUSES.get(text_of(error.get("type")), 0)
    return message, status


def code_of(error: Any) -> str:
    """Return an error object's own word for what went wrong, "" without one."""
    if not isinstance(error, dict):
        return ""
    code = text_of(error.get("code"))
    return code if code and not _STATUS.fullmatch(code) else text_of(error.get("type"))


def retry_after_s(headers: Mapping[bytes, bytes], message: str) -> float | None:
    """Return how long an upstream asks to wait: its `retry-after`, its rate limit's reset, or what its text says.

    `headers` have lower-case names. None when it does not say.
    """
    for name, divisor in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = headers.get(name, b"")
        if _NUMBER.fullmatch(value.strip()):
            return float(value) / divisor
    now_s = time.time()
    waits: list[float] = []
    used_up: list[float] = []
    for name, value in headers.items():
        if name.startswith(_RESET) and (wait_s := reset_s(value.decode("latin-1").strip(), now_s)) is not None:
            waits.append(wait_s)
            if headers.get(_REMAINING + name.removeprefix(_RESET), b"").strip() == b"0":
                used_up.append(wait_s)
    return max(used_up or waits, default=None) if waits else said_wait_s(message)


def _duration(seconds: float) -> bytes:
    """Return a time as the headers write it: `12ms`, `7s`, `6m0s`, `1h0m0s`; rounded up."""
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1000)
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


def error_object(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the `error` object, with the request id for people who see nothing but the text of an exception."""
    kind = _TYPES[error.kind]
    if isinstance(error, RateLimited):
        kind = "rate_limit_error" if error.is_relayed else error.counted
    shown: dict[str, Any] = {
        "message": error.message,
        "type": kind,
        "param": error.param,
        # An upstream that gave no code of its own has none that could be told.
        "code": None if error.code == "upstream_refused" else error.code,
        "request_id": request_id,
    }
    if error.docs:
        shown["docs"] = error.docs
    if error.suggestions:
        shown["suggestions"] = error.suggestions
    if error.upstream is not None:
        shown["upstream"] = {"channel": error.upstream[0], "status": error.upstream[1]}
    return shown


#: What is told of an allowance of requests, and of tokens.
_LIMIT_HEADERS = tuple(
    tuple(b"x-ratelimit-%b-%b" % (what, counted) for what in (b"limit", b"remaining", b"reset"))
    for counted in (b"requests", b"tokens")
)


class OpenAIShaped(Format):
    """A format with OpenAI's errors and model listing."""

    duration_header = b"openai-processing-ms"

    def error_body(self, error: GatewayError, request_id: str) -> tuple[int, bytes]:
        """Return `{"error": {…}}`; 529 is Anthropic's and becomes 503."""
        status = 503 if error.status == 529 else error.status
        return status, _encode({"error": error_object(error, request_id)})

    def limit_headers(
        self, requests: Allowance | None, tokens: Allowance | None, now_s: float
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Return `x-ratelimit-…`."""
        told: list[tuple[bytes, bytes]] = []
        for names, allowance in zip(_LIMIT_HEADERS, (requests, tokens), strict=True):
            if allowance is not None:
                values = (b"%d" % allowance.limit, b"%d" % allowance.left, _duration(allowance.reset_s))
                told += zip(names, values, strict=True)
        return tuple(told)

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
