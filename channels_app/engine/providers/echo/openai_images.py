"""Echo in OpenAI Images: every picture is the same single pixel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import tokens_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Wire, named_event

#: A PNG of one pixel.
PNG_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


class _Body(Struct):
    prompt: str
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    response_format: Literal["url", "b64_json"] | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer an image generation; the prompt comes back as the revised one."""
    body = _decode(request.body)
    tokens = tokens_of(body.prompt)
    usage = {
        "input_tokens": tokens,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens": 1,
        "total_tokens": tokens + 1,
    }
    created = int(time.time())
    if request.is_stream:
        return _stream(created, usage)
    picture = {"revised_prompt": body.prompt}
    if body.response_format == "url":
        # Nothing to fetch: the address holds the picture.
        picture["url"] = f"data:image/png;base64,{PNG_BASE64}"
    else:
        picture["b64_json"] = PNG_BASE64
    return encode({"created": created, "data": [picture] * (body.n or 1), "usage": usage})


OPERATIONS = {"openai-images": Wire(answer, error)}


def _stream(created: int, usage: dict[str, Any]) -> Iterator[bytes]:
    """Yield the one event of a stream that was asked for no partial pictures."""
    yield named_event(
        {
            "type": "image_generation.completed",
            "b64_json": PNG_BASE64,
            "created_at": created,
            "background": "opaque",
            "output_format": "png",
            "quality": "low",
            "size": "1024x1024",
            "usage": usage,
        }
    )
