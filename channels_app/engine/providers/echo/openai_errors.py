"""Error bodies as OpenAI's operations have them."""

from __future__ import annotations

from msgspec.json import encode

_TYPES = {
    400: ("invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", None),
    529: ("server_error", "overloaded"),
}


def error(status: int, message: str, request_id: str) -> bytes:
    """Return the error body; the request id travels in a header only."""
    kind, code = _TYPES[status]
    return encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
