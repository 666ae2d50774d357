"""What an upstream said went wrong, as an error that every format can tell and every client may see."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

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
from routing.engine.wirejson import count_of, decode, object_of, text_of

_URL = re.compile(r"https?://[^\s\"'<>)\]]+")
_SECRET = re.compile(
    r"\b(?:pk|rk|key|rtx|rtxm|gsk|xai|hf|AIza|ya29)[-_.][\w.+/=*-]{6,}|\bsk[-_.][\w.+/=*-]{3,}"
    r"|\bAIza[\w-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    # Words may follow these two: only what has a digit or an asterisk looks like a key.
    r"|\b(?:key|Bearer) (?=\S*[\d*])[\w.+/=*-]{6,}|\bBearer (?!token|auth)[\w.+/=*-]{6,}"
)
_MARKUP = re.compile(r"<\s*(?:!doctype|html|head|body|title)\b", re.IGNORECASE)
#: Control characters but for tabs and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
MAX_MESSAGE_CHARS = 1000
#: Where upstreams tell their own id of a request, and what may be passed on of it.
_ID_HEADERS = (b"request-id", b"x-request-id", b"apim-request-id", b"x-amzn-requestid", b"x-goog-request-id")
_ID = re.compile(rb"[\w.:/+=-]{1,128}")

#: Words that say the prompt does not fit the model, in any upstream's code or text.
_TOO_LONG = (
    "context_length",
    "context length",
    "prompt is too long",
    "input is too long",
    "maximum context",
    "context limit",
    "context window",
    "context size",
    "too many tokens",
    "range of input length",
    "`inputs` tokens",
)
#: Words that say the content was refused, in any upstream's code or text.
_FILTERED = (
    "content_filter",
    "content_policy",
    "content filtering policy",
    "content management policy",
    "data_inspection_failed",
    "datainspectionfailed",
    "responsibleaipolicyviolation",
    "usage policy",
    "was flagged",
)
#: What says that there is no money, where neither status nor code do.
_NO_MONEY = "credit balance is too low"
_CLASSES: dict[int, type[GatewayError]] = {
    404: ModelNotFound,
    408: UpstreamTimedOut,
    413: RequestTooLarge,
    424: UpstreamFailed,
    429: RateLimited,
    402: QuotaUsedUp,
    503: Overloaded,
    529: Overloaded,
    504: UpstreamTimedOut,
    524: UpstreamTimedOut,
}
_CODES: dict[str, type[GatewayError]] = {
    "insufficient_quota": QuotaUsedUp,
    "billing_error": QuotaUsedUp,
    "exceeded_current_quota_error": QuotaUsedUp,
    "Arrearage": QuotaUsedUp,
    "model_not_found": ModelNotFound,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "server_is_overloaded": Overloaded,
}
#: Words of an upstream that only say over what its status says.
_NO_CODES = frozenset(
    {"", "invalid_request_error", "bad_request", "BadRequest", "BadRequestError", "INVALID_ARGUMENT"}
    | {"FAILED_PRECONDITION", "UnprocessableEntityError", "validation", "validation_error", "value_error"}
)
#: What some upstreams say with 400 of the gateway's own key.
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


def shown(message: str) -> str:
    """Return an upstream's text as a client may see it: no markup, no addresses, nothing that looks like a key."""
    if _MARKUP.search(message):
        return ""
    said = _SECRET.sub("[hidden]", _URL.sub("[address]", message))[:MAX_MESSAGE_CHARS].strip()
    return _CONTROL.sub("\ufffd", said)


class ErrorInside(ValueError):
    """An answer of status 200 that is an error all the same: `status` is what its words stand for, 0 when unknown."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = error_of(status, message, code)


def told_id(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that tells an upstream's own id of the request, none where it gave no id."""
    given = {name.lower(): value for name, value in headers}
    found = next((given[name] for name in _ID_HEADERS if _ID.fullmatch(given.get(name, b""))), b"")
    return ((b"x-upstream-request-id", found),) if found else ()


def error_of(status: int, message: str, code: str = "") -> GatewayError:
    """Return the error that stands for what an upstream said: its status (0 when it gave none), text and own code.

    An upstream that refuses its own credential is not the client's fault: 401 and 403 become 502.
    """
    error = _error_of(status, message, code)
    error.is_relayed = True
    return error


def _error_of(status: int, message: str, code: str) -> GatewayError:
    text = shown(message) or "The upstream reported an error."
    said = f"{code} {text}".lower()
    if status in {0, 400, 413, 422} and any(word in said for word in _TOO_LONG):
        return BadRequest(text, code="context_length_exceeded")
    if status in {0, 400, 403, 422} and any(word in said for word in _FILTERED):
        return BadRequest(text, code="content_filter")
    kind = QuotaUsedUp if _NO_MONEY in said else _CODES.get(code) or _CLASSES.get(status)
    if kind is Overloaded:
        return Overloaded(text, status=status if status in {503, 529} else None, code="overloaded")
    if kind is UpstreamTimedOut:
        return UpstreamTimedOut(text, code="timeout")
    if kind is not None:
        return kind(text)
    if status in {401, 403} or code in _BAD_KEY:
        return UpstreamFailed(text, code="upstream_auth_error")
    if 400 <= status < 500:
        refusal = BadRequest(text, status=status)
        # Set here, for an upstream's word may be one of the catalogue's and mean something else.
        refusal.code = "upstream_refused" if code in _NO_CODES else code
        return refusal
    return UpstreamFailed(text)


def said_in(body: bytes) -> tuple[str, str, int]:
    """Return message, code and status of an error body whose format nobody promises; "" and 0 for what is not there.

    Knows `{"message": …}`, `{"error": "…"}` and `{"error": {"message", "code" or "type", "status"}}`. Never raises.
    """
    try:
        said = object_of(decode(_ANY, body))
    except (ValueError, RecursionError):
        return "", "", 0
    plain = said.get("error")
    inner = object_of(plain)
    message = text_of(plain) or _first_text(inner, *_MESSAGES) or _first_text(said, *_MESSAGES)
    code = _first_text(inner, "code", "type") or _first_text(said, "code", "type", "__type").rpartition("#")[2]
    status = next(filter(None, map(count_of, (inner.get("status"), said.get("status_code"), said.get("status")))), 0)
    return message, code, status if 400 <= status < 600 else 0


def asked_wait_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the seconds of `retry-after-ms` or of a numeric `retry-after` (RFC 9110 §10.2.3), None without one."""
    for name, divisor in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        try:
            wait_s = float(headers.get(name, b"")) / divisor
        except ValueError:
            continue
        if math.isfinite(wait_s) and wait_s >= 0:
            return wait_s
    return None


def said_wait_s(message: str) -> float | None:
    """Return the seconds after which a text says to try again (`1.2s`, `1m30s`, `20 seconds`), None without such."""
    found = _TRY_AGAIN.search(message[:_MAX_SAID_CHARS])
    if found is None:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _SPAN.findall(found[1].lower()))


def waits_of(status: int, headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Return the headers that may say how long to wait: only after 429 that is until an allowance is full again."""
    return headers if status == 429 else {name: value for name, value in headers.items() if b"ratelimit" not in name}


def _first_text(said: dict[str, Any], *names: str) -> str:
    return next((said[name] for name in names if isinstance(said.get(name), str) and said[name]), "")


_MAX_SAID_CHARS = 2000
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|[hms])[a-z]*")
_TRY_AGAIN = re.compile(
    r"(?:try again|retry) (?:in|after) "
    r"((?:\d+(?:\.\d+)? ?(?:ms|h|m|s|hours?|minutes?|seconds?|mins?|secs?)\b ?|\d+[hm])+)",
    re.IGNORECASE,
)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_ANY = msgspec.json.Decoder()
_MESSAGES = ("message", "Message", "detail", "errorMessage")
