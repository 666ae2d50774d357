"""What the gateway says no with; every format renders these in its own shape.

Each class has a row of the catalogue as its ordinary meaning; `code` picks another one.

GatewayError                     internal_error
├── Unauthenticated              invalid_api_key, missing_api_key, malformed_api_key, foreign_api_key, api_key_…
├── Forbidden                    model_not_allowed, channel_not_allowed, ip_not_allowed, tenant_suspended
├── BadRequest                   invalid_value, invalid_json, wrong_endpoint, …
├── RequestTimedOut              request_timeout
├── RequestTooLarge              request_too_large
├── ModelNotFound                model_not_found
├── UnknownRoute                 unknown_route
├── MethodNotAllowed             method_not_allowed
├── NoChannel                    no_available_channel
├── Overloaded                   server_is_overloaded, overloaded
├── RateLimited                  rate_limit_exceeded, concurrency_limit_exceeded, quota_reserved
├── QuotaUsedUp                  insufficient_quota
├── UpstreamFailed               upstream_error, upstream_auth_error, upstream_blocked
├── UpstreamTimedOut             upstream_timeout, timeout
└── Unavailable                  starting_up, shutting_down, no_room, limits_unavailable, ledger_away, unpriced_model
"""

from __future__ import annotations

from typing import Any, Literal

from routing.engine.catalogue import CATALOGUE, MAX_WAIT_S

#: The most of a caller's own word that a message repeats.
_MAX_NAME_CHARS = 100


def named(text: str) -> str:
    """Return a name that a caller made up, as messages may repeat it: bounded, and without control characters."""
    shown = printable(text[:_MAX_NAME_CHARS])
    return f"{shown}…" if len(text) > _MAX_NAME_CHARS else shown


def printable(text: str) -> str:
    """Return a text without control characters, which would break headers and deceive terminals."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


class GatewayError(Exception):
    """Base of the tree.

    The catalogue's row of the code gives status, kind, whether another try may help and how long to wait before it;
    an upstream's own code, which has no row, leaves the class's. `status`, `should_retry` and `retry_after_s` say
    otherwise where more is known. The text says what happened, why, and what to do; it is safe to show. `headers` go
    out beside those that every error carries (`allow`). `raw_body` is an upstream's own error body in the client's
    format; `is_relayed` marks what an upstream said, and `upstream` the channel that said it and the status it gave.
    """

    code = "internal_error"
    is_relayed = False
    #: Where the code is explained, "" where it is not known; set by whoever renders the error.
    docs = ""
    upstream: tuple[str, int] | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
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
        row = CATALOGUE.get(code) or CATALOGUE[self.code]
        self.code = code or self.code
        self.kind = row.kind
        self.status = status or row.status
        self.should_retry = row.should_retry if should_retry is None else should_retry
        # The row's wait goes with the row's advice: whoever says otherwise knows of a wait, or that there is none.
        self.retry_after_s = row.retry_after_s if retry_after_s is None and should_retry is None else retry_after_s
        self.param = param
        self.suggestions = suggestions
        self.headers = headers
        self.raw_body = raw_body

    @property
    def is_worth_a_wait(self) -> bool:
        """Whether clients should try again by themselves: it may help, and within a time that one sits through."""
        return self.should_retry and (self.retry_after_s or 0.0) <= MAX_WAIT_S


class Unauthenticated(GatewayError):
    """The caller is not known."""

    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The caller is known and may not do this."""

    code = "model_not_allowed"


class BadRequest(GatewayError):
    """The request itself is wrong; the same request will be wrong again."""

    code = "invalid_value"


class RequestTimedOut(GatewayError):
    """The client stopped sending before its request was whole."""

    code = "request_timeout"


class RequestTooLarge(GatewayError):
    """The body passes the limit."""

    code = "request_too_large"


class ModelNotFound(GatewayError):
    """No channel of this tenant serves the model."""

    code = "model_not_found"


class UnknownRoute(GatewayError):
    """The gateway has no such path."""

    code = "unknown_route"


class MethodNotAllowed(GatewayError):
    """The path exists, for another method."""

    code = "method_not_allowed"


class NoChannel(GatewayError):
    """Channels serve the model, and all are switched off."""

    code = "no_available_channel"


class Overloaded(GatewayError):
    """All channels of the model are cooling down."""

    code = "server_is_overloaded"


class RateLimited(GatewayError):
    """The caller, or the upstream on its behalf, asks too fast: `counted` says too much of what."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, counted: Literal["requests", "tokens"] = "requests", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.counted = counted


class QuotaUsedUp(GatewayError):
    """What the calendar window allows is spent; trying again before the window ends cannot help."""

    code = "insufficient_quota"


class UpstreamFailed(GatewayError):
    """No attempt gave a usable answer."""

    code = "upstream_error"


class UpstreamTimedOut(GatewayError):
    """The last attempt ran into a time limit."""

    code = "upstream_timeout"


class Unavailable(GatewayError):
    """Routex is starting, stopping, or cannot read its configuration."""

    code = "starting_up"
