"""Echo in OpenAI Completions: each prompt comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, ValidationError
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import PositiveInt, Reply, Turn, reply_to
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Wire, data_event, new_id

#: Prompts of one request; the work inside the server's event loop is bounded.
MAX_PROMPTS = 128


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    prompt: str | list[str | int | list[int]]
    max_tokens: PositiveInt | None = None
    stream_options: _StreamOptions | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer a completion."""
    body = _decode(request.body)
    replies = [reply_to([Turn("user", text)], None, body.max_tokens) for text in _prompts(body.prompt)]
    head = {"id": new_id("cmpl-"), "object": "text_completion", "created": int(time.time()), "model": request.model}
    if request.is_stream:
        has_usage = bool(body.stream_options and body.stream_options.include_usage)
        return _stream(head, replies, has_usage=has_usage)
    choices = [_choice(index, reply.text, _finish_reason(reply)) for index, reply in enumerate(replies)]
    return encode({**head, "choices": choices, "usage": _usage(replies)})


OPERATIONS = {"openai-completions": Wire(answer, error)}


def _prompts(prompt: str | list[str | int | list[int]]) -> list[str]:
    """Return one text for each prompt: a string, many strings, one list of tokens, or many."""
    if isinstance(prompt, str):
        return [prompt]
    if prompt and all(isinstance(token, int) for token in prompt):
        return [str(prompt)]
    if not 1 <= len(prompt) <= MAX_PROMPTS:
        raise ValidationError(f"Expected 1 to {MAX_PROMPTS} prompts, got {len(prompt)}")
    return [str(text) for text in prompt]


def _finish_reason(reply: Reply) -> str:
    return "length" if reply.is_cut else "stop"


def _choice(index: int, text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _usage(replies: list[Reply]) -> dict[str, int]:
    prompt, completion = (sum(reply.input_tokens for reply in replies), sum(reply.output_tokens for reply in replies))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _stream(head: dict[str, Any], replies: list[Reply], *, has_usage: bool) -> Iterator[bytes]:
    if has_usage:
        head = {**head, "usage": None}
    for index, reply in enumerate(replies):
        for word in reply.words():
            yield data_event({**head, "choices": [_choice(index, word)]})
    end = b"".join(
        data_event({**head, "choices": [_choice(index, "", _finish_reason(reply))]})
        for index, reply in enumerate(replies)
    )
    if has_usage:
        end += data_event({**head, "choices": [], "usage": _usage(replies)})
    yield end + b"data: [DONE]\n\n"
