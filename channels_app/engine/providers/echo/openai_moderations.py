"""Echo in OpenAI Moderations: nothing is ever flagged."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, ValidationError
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Wire, new_id

MAX_INPUTS = 2048
_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)


class _Body(Struct):
    input: str | list[str | dict[str, Any]]


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> bytes:
    """Answer one result for each text; typed parts, which may be pictures, are judged as one."""
    given = _decode(request.body).input
    if not 1 <= len(given) <= MAX_INPUTS and not isinstance(given, str):
        raise ValidationError(f"Expected 1 to {MAX_INPUTS} inputs, got {len(given)}")
    is_one = isinstance(given, str) or isinstance(given[0], dict)
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    results = [result] * (1 if is_one else len(given))
    return encode({"id": new_id("modr-"), "model": request.model, "results": results})


OPERATIONS = {"openai-moderations": Wire(answer, error)}
