"""What the official SDKs make of a client's stream, fed over an in-memory transport."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from openai.lib.streaming.chat import ChatCompletionStreamState

# Every stream is one request to them, and they tell each.
logging.getLogger("httpx2").setLevel(logging.WARNING)

#: What the SDKs raise on an error in band.
IN_BAND = (openai.APIError, anthropic.APIStatusError, genai_errors.APIError)
_PARSE_REFUSALS = (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)


@dataclass
class Accumulated:
    """`answer`: the whole answer as the SDK put it together, None when it did not come to that."""

    answer: dict[str, Any] | None = None
    #: What the SDK raised, or the error event that it handed out.
    error: Exception | None = None

    @property
    def is_error_in_band(self) -> bool:
        """Whether the SDK understood an error of the stream, rather than stumbling over the stream itself."""
        return isinstance(self.error, IN_BAND) and not isinstance(self.error, openai.APIResponseValidationError)


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


def _transport(chunks: Sequence[bytes], media_type: str) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": media_type}, stream=_Chunks(chunks))

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def _openai(chunks: Sequence[bytes], media_type: str = "text/event-stream") -> openai.OpenAI:
    http = _transport(chunks, media_type)
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=http)


def _chat(chunks: Sequence[bytes]) -> Accumulated:
    state = ChatCompletionStreamState()
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    try:
        for chunk in _openai(chunks).chat.completions.create(**asked, stream=True):
            state.handle_chunk(chunk)
        whole = state.get_final_completion()
    except _PARSE_REFUSALS:
        whole = state.current_completion_snapshot  # the helper has its own opinion of such ends; the stream is fine
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what a client sees
        return Accumulated(error=error)
    return Accumulated(whole.to_dict(mode="json"))


def _responses(chunks: Sequence[bytes]) -> Accumulated:
    whole: Any = None
    try:
        with _openai(chunks).responses.stream(model="m", input="x") as stream:
            for event in stream:
                if event.type in {"response.completed", "response.incomplete"}:
                    whole = event.response
                elif event.type == "response.failed" and event.response.error is not None:
                    said = event.response.error
                    raise openai.APIError(
                        said.message, httpx2.Request("POST", "http://gateway"), body=said.to_dict(mode="json")
                    )
    except Exception as error:  # noqa: BLE001
        return Accumulated(error=error)
    if whole is None:
        return Accumulated(error=EOFError("the stream ended without a terminal event"))
    return Accumulated(whole.to_dict(mode="json"))


def _anthropic(chunks: Sequence[bytes]) -> Accumulated:
    http = _transport(chunks, "text/event-stream")
    sdk = anthropic.Anthropic(api_key="k", base_url="http://gateway", max_retries=0, http_client=http)
    asked: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    try:
        with sdk.messages.stream(**asked) as stream:
            for _ in stream:
                pass
            whole = stream.get_final_message()
    except Exception as error:  # noqa: BLE001
        return Accumulated(error=error)
    if whole.stop_reason is None:
        return Accumulated(error=EOFError("the stream ended without a stop_reason"))
    return Accumulated(whole.to_dict(mode="json"))


def _genai(chunks: Sequence[bytes]) -> Accumulated:
    options = genai_types.HttpOptions(
        base_url="http://gateway",
        httpx_client=_transport(chunks, "text/event-stream"),
        retry_options=genai_types.HttpRetryOptions(attempts=1),
    )
    candidates: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    try:
        for chunk in genai.Client(api_key="k", http_options=options).models.generate_content_stream(
            model="m", contents="x"
        ):
            told = json.loads(chunk.model_dump_json(by_alias=True, exclude_none=True))
            for candidate in told.pop("candidates", ()):
                _add(candidates.setdefault(candidate.get("index", 0), {"content": {"parts": []}}), candidate)
            whole |= told
    except Exception as error:  # noqa: BLE001
        return Accumulated(error=error)
    ended = "promptFeedback" in whole or (candidates and all("finishReason" in each for each in candidates.values()))
    if not ended:
        return Accumulated(error=EOFError("the stream ended without a finishReason"))
    return Accumulated({**whole, "candidates": [candidates[index] for index in sorted(candidates)]})


def _add(candidate: dict[str, Any], more: dict[str, Any]) -> None:
    candidate["content"]["parts"] += (more.pop("content", None) or {}).get("parts") or []
    candidate |= more


_ACCUMULATORS: dict[str, Callable[[Sequence[bytes]], Accumulated]] = {
    "anthropic": _anthropic,
    "gemini": _genai,
    "openai-chat": _chat,
    "openai-responses": _responses,
}


def accumulate(name: str, chunks: Sequence[bytes]) -> Accumulated:
    """Return what the SDK of a client's format makes of a stream that comes in these packets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDKs warn of models they do not know
        return _ACCUMULATORS[name](chunks)


def _parse(kind: Any, body: bytes) -> dict[str, Any]:
    return json.loads(kind.model_validate_json(body).model_dump_json(by_alias=True, exclude_none=True))


def whole(name: str, body: bytes) -> dict[str, Any]:
    """Return a whole answer as the SDK's own type reads it, strictly.

    Raises:
        pydantic.ValidationError: something that the type demands is missing or of another kind.
    """
    kinds: dict[str, Any] = {
        "anthropic": anthropic.types.Message,
        "gemini": genai_types.GenerateContentResponse,
        "openai-chat": openai.types.chat.ChatCompletion,
        "openai-responses": openai.types.responses.Response,
    }
    return _parse(kinds[name], body)
