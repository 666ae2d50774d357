"""What an upstream said went wrong, as an error that every format can tell and every client may see."""

from __future__ import annotations

import re

from routing.engine.errors import (
    BadRequest,
    GatewayError,
    ModelNotFound,
    Overloaded,
    QuotaUsedUp,
    RateLimited,
    RequestTooLarge,
    UpstreamFailed,
    UpstreamTimedOut,
)

_URL = re.compile(r"https?://[^\s\"'<>)\]]+")
_SECRET = re.compile(r"\b(?:sk|pk|rk|key|rtx|rtxm|AIza|ya29|Bearer|AKIA|ASIA)[-_ .][\w.+/=-]{6,}|\bAIza[\w-]{10,}")
_MARKUP = re.compile(r"<\s*(?:!doctype|html|head|body|title)\b", re.IGNORECASE)
MAX_MESSAGE_CHARS = 1000

#: Words that say the prompt does not fit the model, in any upstream's code or text.
_TOO_LONG = ("context_length", "context length", "prompt is too long", "maximum context", "too many tokens")
_CLASSES: dict[int, type[GatewayError]] = {
    404: ModelNotFound,
    413: RequestTooLarge,
    429: RateLimited,
    402: QuotaUsedUp,
    503: Overloaded,
    529: Overloaded,
    504: UpstreamTimedOut,
}
_CODES: dict[str, type[GatewayError]] = {
    "insufficient_quota": QuotaUsedUp,
    "billing_error": QuotaUsedUp,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "server_is_overloaded": Overloaded,
}


def shown(message: str) -> str:
    """Return an upstream's text as a client may see it: no markup, no addresses, nothing that looks like a key."""
    if _MARKUP.search(message):
        return ""
    return _SECRET.sub("[hidden]", _URL.sub("[address]", message))[:MAX_MESSAGE_CHARS].strip()


def error_of(status: int, message: str, code: str = "") -> GatewayError:
    """Return the error that stands for what an upstream said: its status (0 when it gave none), text and own code.

    An upstream that refuses its own credential is not the client's fault: 401 and 403 become 502.
    """
    text = shown(message) or "The upstream reported an error."
    said = f"{code} {text}".lower()
    if status in {0, 400, 413} and any(word in said for word in _TOO_LONG):
        return BadRequest(text, code="context_length_exceeded")
    kind = _CODES.get(code) or _CLASSES.get(status)
    if kind is Overloaded:
        return Overloaded(text, status=status if status in {503, 529} else None, code="overloaded")
    if kind is not None:
        return kind(text)
    if status in {401, 403}:
        return UpstreamFailed(text, code="upstream_auth_error", should_retry=False)
    if 400 <= status < 500 and status != 408:
        return BadRequest(text, status=status, code=code or "upstream_refused")
    return UpstreamFailed(text)
