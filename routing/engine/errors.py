"""What the gateway says no with; every format renders these in its own shape.

GatewayError                     500 internal_error
├── Unauthenticated              401 missing_api_key, invalid_api_key, malformed_api_key, foreign_api_key, …
├── Forbidden                    403 model_not_allowed, tenant_suspended
├── BadRequest                   400 invalid_json, invalid_value, wrong_endpoint
├── RequestTimedOut              408 request_timeout
├── RequestTooLarge              413 request_too_large
├── ModelNotFound                404 model_not_found
├── UnknownRoute                 404 unknown_route
├── MethodNotAllowed             405 method_not_allowed
├── NoChannel                    503 no_available_channel
├── Overloaded                   503 server_is_overloaded (529 where the format has it)
├── RateLimited                  429 rate_limit_exceeded, concurrency_limit_exceeded
├── QuotaUsedUp                  429 insufficient_quota (402 where the format has it)
├── UpstreamFailed               502 upstream_error, upstream_auth_error
├── UpstreamTimedOut             504 upstream_timeout
└── Unavailable                  503 shutting_down, starting_up, limits_unavailable
"""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal[
    "invalid_request",
    "authentication",
    "permission",
    "not_found",
    "too_large",
    "rate_limit",
    "quota",
    "overloaded",
    "unavailable",
    "timeout",
    "server",
]


class GatewayError(Exception):
    """Base of the tree.

    `kind` is what formats map to their own type words and, where they differ, their own status. The text says what
    happened, why, and what to do; it is safe to show. `should_retry` becomes `x-should-retry`, which the official
    SDKs obey; None leaves it to the client. `headers` go out beside those that every error carries (`allow`).
    `raw_body` is an upstream's own error body in the client's format; `is_relayed` marks what an upstream said.
    """

    status = 500
    code = "internal_error"
    kind: Kind = "server"
    should_retry: bool | None = None
    is_relayed = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        suggestions: tuple[str, ...] = (),
        status: int | None = None,
        should_retry: bool | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        raw_body: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param
        self.retry_after_s = retry_after_s
        self.suggestions = suggestions
        self.status = status or self.status
        self.should_retry = should_retry if should_retry is not None else self.should_retry
        self.headers = headers
        self.raw_body = raw_body


class Unauthenticated(GatewayError):
    """The caller is not known."""

    status, code, kind, should_retry = 401, "invalid_api_key", "authentication", False


class Forbidden(GatewayError):
    """The caller is known and may not do this."""

    status, code, kind, should_retry = 403, "model_not_allowed", "permission", False


class BadRequest(GatewayError):
    """The request itself is wrong; the same request will be wrong again."""

    status, code, kind, should_retry = 400, "invalid_value", "invalid_request", False


class RequestTimedOut(GatewayError):
    """The client stopped sending before its request was whole."""

    status, code, kind = 408, "request_timeout", "timeout"


class RequestTooLarge(GatewayError):
    """The body passes the limit."""

    status, code, kind, should_retry = 413, "request_too_large", "too_large", False


class ModelNotFound(GatewayError):
    """No channel of this tenant serves the model."""

    status, code, kind, should_retry = 404, "model_not_found", "not_found", False


class UnknownRoute(GatewayError):
    """The gateway has no such path."""

    status, code, kind, should_retry = 404, "unknown_route", "not_found", False


class MethodNotAllowed(GatewayError):
    """The path exists, for another method."""

    status, code, kind, should_retry = 405, "method_not_allowed", "invalid_request", False


class NoChannel(GatewayError):
    """Channels serve the model, and all are switched off."""

    status, code, kind, should_retry = 503, "no_available_channel", "server", False


class Overloaded(GatewayError):
    """All channels of the model are cooling down."""

    status, code, kind = 503, "server_is_overloaded", "overloaded"


class RateLimited(GatewayError):
    """The caller, or the upstream on its behalf, asks too fast."""

    status, code, kind = 429, "rate_limit_exceeded", "rate_limit"

    def __init__(self, message: str, *, counted: Literal["requests", "tokens"] = "requests", **details: Any) -> None:
        super().__init__(message, **details)
        #: What there was too much of; OpenAI's formats have a word for each.
        self.counted = counted


class QuotaUsedUp(GatewayError):
    """What the calendar window allows is spent; trying again before the window ends cannot help."""

    status, code, kind, should_retry = 429, "insufficient_quota", "quota", False


class UpstreamFailed(GatewayError):
    """No attempt gave a usable answer."""

    status, code, kind = 502, "upstream_error", "server"


class UpstreamTimedOut(GatewayError):
    """The last attempt ran into a time limit."""

    status, code, kind = 504, "upstream_timeout", "timeout"


class Unavailable(GatewayError):
    """Routex is starting, stopping, or cannot read its configuration."""

    status, code, kind = 503, "starting_up", "unavailable"
