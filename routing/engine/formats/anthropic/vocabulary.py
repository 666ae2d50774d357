"""The words of Messages: errors and their statuses, token counts, the model listing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics.engine.record import Usage
from channels_app.engine.capabilities import Capabilities
from routing.engine.catalogue import Kind
from routing.engine.errors import GatewayError
from routing.engine.messages import CacheMark

#: The format's name in registries, origins and native parts.
NAME = "anthropic"

_encode = msgspec.json.Encoder().encode

_TYPES: dict[Kind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "quota": "billing_error",
    "overloaded": "overloaded_error",
    "unavailable": "overloaded_error",
    "timeout": "timeout_error",
    "server": "api_error",
}
# Where Anthropic has a status of its own, and its SDKs an exception class for it.
_STATUSES: dict[Kind, int] = {"quota": 402, "overloaded": 529}

#: Statuses that the words of error events stand for.
STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None

    @property
    def total(self) -> int:
        """Writes of all lifetimes."""
        return max(self.ephemeral_5m_input_tokens or 0, 0) + self.written_1h

    @property
    def written_1h(self) -> int:
        """Writes that are kept for an hour."""
        return max(self.ephemeral_1h_input_tokens or 0, 0)


class _ServerTools(msgspec.Struct):
    web_search_requests: int | None = None


class UsageCounts(msgspec.Struct):
    """Token counts as Anthropic reports them: cached input is counted beside `input_tokens`, not in it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_creation: _CacheCreation | None = None
    server_tool_use: _ServerTools | None = None

    def over(self, earlier: UsageCounts) -> UsageCounts:
        """Return these counts, with earlier ones where this report has none."""
        return UsageCounts(
            *(
                old if new is None else new
                for new, old in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(earlier), strict=True)
            )
        )

    def total(self) -> Usage:
        """Return them in our terms: all input, all output."""
        cache_read = max(self.cache_read_input_tokens or 0, 0)
        written = self.cache_creation
        cache_write = self.cache_creation_input_tokens
        if cache_write is None:
            cache_write = written.total if written else 0
        cache_write = max(cache_write, 0)
        return Usage(
            input_tokens=max(self.input_tokens or 0, 0) + cache_read + cache_write,
            output_tokens=max(self.output_tokens or 0, 0),
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
            cache_write_1h_tokens=min(written.written_1h, cache_write) if written else 0,
            web_searches=max((self.server_tool_use and self.server_tool_use.web_search_requests) or 0, 0),
            reasoning_tokens=(self.output_tokens_details and self.output_tokens_details.thinking_tokens) or 0,
        )


class ErrorObject(msgspec.Struct):
    """The `error` member of error bodies and error events."""

    type: Any = None
    message: Any = None

    @property
    def failure(self) -> tuple[str, int]:
        """Return the text and the status it stands for, 0 when the type is not known."""
        message = self.message if isinstance(self.message, str) else ""
        status = STATUS_OF_TYPE.get(self.type, 0) if isinstance(self.type, str) else 0
        return message or "the upstream reported an error", status


def counts_of(said: Any) -> UsageCounts | None:
    """Return the counts of a `usage` member, whatever else it holds; None where it is no object.

    Cache writes that are told by their lifetimes alone are added up.
    """
    if not isinstance(said, dict):
        return None
    details, lifetimes, tools = (
        inner if isinstance(inner := said.get(name), dict) else None
        for name in ("output_tokens_details", "cache_creation", "server_tool_use")
    )
    thought = _count(details.get("thinking_tokens")) if details else None
    return UsageCounts(
        _count(said.get("input_tokens")),
        _count(said.get("output_tokens")),
        _count(said.get("cache_read_input_tokens")),
        _count(said.get("cache_creation_input_tokens")),
        None if thought is None else _OutputDetails(thought),
        _CacheCreation(*(_count(lifetimes.get(name)) for name in _LIFETIMES)) if lifetimes else None,
        _ServerTools(_count(tools.get("web_search_requests"))) if tools else None,
    )


_LIFETIMES = _CacheCreation.__struct_fields__


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(int(value), 0)


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return counts as Anthropic reports them: what was cached is counted beside the input."""
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": max(usage.input_tokens - cached, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def is_strict_version(can: Capabilities) -> bool:
    """Whether the version spoken refuses sampling parameters, documents of the assistant, citations of the user.

    Hosts put their own name before a version's date: `bedrock-2023-05-31`.
    """
    return can.api_version[-len(_STRICT_SINCE) :] >= _STRICT_SINCE


_STRICT_SINCE = "2026-10-21"
#: How the message of an error begins that says so.
_TOO_LONG = "prompt is too long"


def marked(block: dict[str, Any], cache: CacheMark | None, can: Capabilities) -> dict[str, Any]:
    """Return a block with its cache breakpoint where the target has such; other lifetimes become the longer one."""
    if cache is not None and can.cache_control:
        ttl = cache.ttl if cache.ttl in {"", "5m"} else "1h"
        block["cache_control"] = {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}
    return block


def error_object(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return an error as bodies and events carry it."""
    message = error.message
    if error.code == "context_length_exceeded" and not message.startswith(_TOO_LONG):
        # The format has no code for it: clients know it, and shorten their history, by these words.
        is_said = message.lower().startswith(_TOO_LONG)
        message = _TOO_LONG + message[len(_TOO_LONG) :] if is_said else f"{_TOO_LONG}: {message}"
    shown: dict[str, Any] = {"type": _TYPES[error.kind], "message": message}
    if error.upstream is not None:
        shown["upstream"] = {"channel": error.upstream[0], "status": error.upstream[1]}
    return {"type": "error", "error": shown, "request_id": request_id}


def error_body(error: GatewayError, request_id: str) -> tuple[int, bytes]:
    """Return status and body of an error answer."""
    return _STATUSES.get(error.kind, error.status), _encode(error_object(error, request_id))


def model_list(models: Sequence[str], created_s: int, *, has_more: bool = False) -> bytes:
    """Return one page of the listing."""
    cards = [_card(model, created_s) for model in models]
    first, last = (models[0], models[-1]) if models else (None, None)
    return _encode({"data": cards, "has_more": has_more, "first_id": first, "last_id": last})


def model_card(model: str, created_s: int) -> bytes:
    """Return one entry of the listing."""
    return _encode(_card(model, created_s))


def _card(model: str, created_s: int) -> dict[str, Any]:
    created_at = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model, "display_name": model, "created_at": created_at, "lifecycle": "active"}
