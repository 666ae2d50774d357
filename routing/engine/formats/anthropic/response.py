"""Messages answers: model and usage of a whole one, the error object, the model listing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError, Kind
from routing.engine.format import Answer
from routing.engine.wirejson import decode

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


class UsageCounts(msgspec.Struct):
    """Token counts as Anthropic reports them: cached input is counted beside `input_tokens`, not in it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None

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
        cache_read = self.cache_read_input_tokens or 0
        cache_write = self.cache_creation_input_tokens or 0
        return Usage(
            input_tokens=(self.input_tokens or 0) + cache_read + cache_write,
            output_tokens=self.output_tokens or 0,
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
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


class _Message(msgspec.Struct):
    model: Any = None
    content: msgspec.Raw = msgspec.Raw()
    input_tokens: int | None = None
    usage: UsageCounts | None = None
    error: ErrorObject | None = None


_MESSAGE = msgspec.json.Decoder(_Message)


def read_answer(body: bytes) -> Answer:
    """Return the facts of a message or of a token count, which costs no tokens.

    Raises:
        ValueError: see the contract.
    """
    message = decode(_MESSAGE, body)
    if message.error is not None:
        raise ValueError(message.error.failure[0])
    if not message.content and message.input_tokens is None:
        raise ValueError("the answer has no content")
    return Answer(
        usage=message.usage.total() if message.usage else None,
        model=message.model if isinstance(message.model, str) else "",
    )


def error_object(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return an error as bodies and events carry it."""
    return {
        "type": "error",
        "error": {"type": _TYPES[error.kind], "message": error.message},
        "request_id": request_id,
    }


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
    return {"type": "model", "id": model, "display_name": model, "created_at": created_at}
