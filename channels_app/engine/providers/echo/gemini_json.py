"""How Gemini's operations read their bodies and write their errors."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from channels_app.engine.providers.echo.faults import RETRY_AFTER_S

T = TypeVar("T")

_STATUSES = {
    400: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    529: "UNAVAILABLE",
}
#: What stands under these names is the caller's own.
_CALLERS_OWN = {"args", "parameters", "parametersJsonSchema", "parameters_json_schema", "response"}


def read(body: bytes, kind: type[T]) -> T:
    """Return the body as that kind; its names may be in camelCase or snake_case, as the official client mixes them.

    Raises:
        MsgspecError: the body is something else.
    """
    return msgspec.convert(_camel(msgspec.json.decode(body)), kind)


def error(status: int, message: str, request_id: str) -> bytes:
    """Return the error body; this format shows no request id."""
    details: dict[str, Any] = {"code": status, "message": message, "status": _STATUSES[status]}
    if status == 429:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{RETRY_AFTER_S}s"}
        details["details"] = [retry]
    return msgspec.json.encode({"error": details})


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("_([a-z])", lambda match: match[1].upper(), name): item if name in _CALLERS_OWN else _camel(item)
        for name, item in value.items()
    }
