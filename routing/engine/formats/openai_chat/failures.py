"""What goes wrong at an upstream, in the many shapes in which servers of this format say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from routing.engine.codec import UpstreamFailure
from routing.engine.messages import Failed
from routing.engine.openai_shape import code_of, failure_of, retry_after_s, text_of
from routing.engine.wirejson import decode

_ANY = msgspec.json.Decoder()
#: Where a server that sends no `error` puts its sentence.
_SENTENCES = ("message", "detail", "error_msg", "errors")
_MAX_DEPTH = 4


def failure_in(body: Any) -> Failed | None:
    """Return what a body or event says went wrong, None where it says no such thing.

    `{"error": {…}}` and `{"error": "…"}`, or a sentence beside no choices at all; also as the only element of a list.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if not error:
        if body.get("choices") is not None or not any(body.get(name) for name in _SENTENCES):
            return None
        error = body
    if not isinstance(error, dict):
        return Failed(_sentence(error), code=text_of(body.get("error_type")))
    status = failure_of(error)[1]
    return Failed(_with_cause(_sentence(error), error), status, code_of(error) or text_of(error.get("status")))


def _with_cause(message: str, error: dict[str, Any]) -> str:
    """Return the message with what the upstream's own upstream said (`metadata.raw`): alone it says nothing."""
    metadata = error.get("metadata")
    raw = text_of(metadata.get("raw")) if isinstance(metadata, dict) else ""
    return f"{message}: {raw}" if raw else message


def _sentence(value: Any, depth: int = 0) -> str:
    """Return the text in a value that may be a string, an object with one, or a list of such."""
    if isinstance(value, str):
        return value
    if depth < _MAX_DEPTH and isinstance(value, dict):
        found = (value.get(name) for name in (*_SENTENCES, "msg"))
        return next((text for each in found if (text := _sentence(each, depth + 1))), "")
    if depth < _MAX_DEPTH and isinstance(value, list):
        return "; ".join(text for each in value[:5] if (text := _sentence(each, depth + 1)))
    return ""


def decode_error(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
    """Return what an error answer says."""
    try:
        failed = failure_in(decode(_ANY, body))
    except (ValueError, RecursionError):
        failed = None
    message = failed.message if failed is not None else ""
    return UpstreamFailure(
        message, failed.code if failed is not None else "", retry_after_s=retry_after_s(headers, message)
    )
