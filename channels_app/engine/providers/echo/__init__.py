"""Echo: answers in every format without any network."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace

from msgspec import MsgspecError

from channels_app.engine.errors import UpstreamBroken
from channels_app.engine.multipart import MalformedForm
from channels_app.engine.profiles import CLAUDE, GEMINI, GPT_CHAT, GPT_RESPONSES
from channels_app.engine.provider import Provider, UpstreamRequest, UpstreamResponse, Upstreams
from channels_app.engine.providers.echo import (
    anthropic,
    gemini,
    gemini_embeddings,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_images,
    openai_moderations,
    openai_responses,
    openai_speech,
    openai_transcription,
    rerank,
)
from channels_app.engine.providers.echo.conversation import CHARS_PER_TOKEN
from channels_app.engine.providers.echo.faults import FAULTS, NO_FAULT, RETRY_AFTER_S, Fault, Sleep, Waits
from channels_app.engine.providers.echo.forms import form_of
from channels_app.engine.providers.echo.wire import Answer, Typed, Wire, new_id

WIRES: dict[str, Wire] = {
    **anthropic.OPERATIONS,
    **gemini.OPERATIONS,
    **gemini_embeddings.OPERATIONS,
    **openai_chat.OPERATIONS,
    **openai_completions.OPERATIONS,
    **openai_embeddings.OPERATIONS,
    **openai_images.OPERATIONS,
    **openai_moderations.OPERATIONS,
    **openai_responses.OPERATIONS,
    **openai_speech.OPERATIONS,
    **openai_transcription.OPERATIONS,
    **rerank.OPERATIONS,
}

#: Tokens that echo may put before what it repeats, or say in its place.
OWN_TOKENS = 64
#: Pieces of a stream that `echo-cut` lets through: the opening and some words, never the end.
_PIECES_BEFORE_CUT = 3


class Echo(Provider):
    """An upstream inside the process, for a first request, demonstrations, tests and load.

    It repeats what the user said last, word by word; calls the first offered tool when that says `call tool`;
    and takes its faults from the model name (see faults.py).
    """

    name = "echo"
    label = "Echo (no account needed)"
    base_url = "echo://local"
    is_genuine = True
    capabilities = {
        "openai-chat": GPT_CHAT,
        "openai-responses": GPT_RESPONSES,
        "anthropic": CLAUDE,
        "gemini": GEMINI,
    }
    endpoints = {operation: f"/{operation}" for operation in WIRES}
    needs_credential = False
    probe = None

    def __init__(self, gap_s: float = 0.004, sleep: Sleep = asyncio.sleep) -> None:
        self._gap_s = gap_s
        self._sleep = sleep

    def most_output(self, upstream_format: str, model: str, body_bytes: int) -> int:
        """Return what the body's text comes to, which is all that is ever repeated, and some words of echo's own."""
        return body_bytes // CHARS_PER_TOKEN + OWN_TOKENS

    async def send(self, request: UpstreamRequest, upstreams: Upstreams) -> UpstreamResponse:
        """Answer the request as a genuine upstream of its format would.

        Raises:
            UpstreamTimeout: echo was asked to be slower than the request allows.
        """
        wire = WIRES[request.operation]
        fault = FAULTS.get(request.model, NO_FAULT)
        waits = Waits(request.timeouts, self._sleep)
        await waits.first_byte(fault.first_byte_s)
        request_id = new_id("req_")
        status, answer = await _answer(wire, fault, request, request_id)
        headers = [(wire.id_header, request_id.encode())]
        if isinstance(answer, bytes):
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        elif isinstance(answer, Typed):
            headers += [(b"content-type", answer.content_type)]
        else:
            headers += [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        if status == 429:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        chunks = self._chunks(answer, fault, waits)

        async def close() -> None:
            # A generator that another task is waiting in refuses to close; it holds nothing that would have to go.
            with contextlib.suppress(RuntimeError):
                await chunks.aclose()

        return UpstreamResponse(status, headers, chunks, close)

    async def _chunks(self, answer: Answer, fault: Fault, waits: Waits) -> AsyncGenerator[bytes, None]:
        if fault.is_stalled:
            await waits.idle(math.inf)
        gap_s = self._gap_s if fault.gap_s is None else fault.gap_s
        for count, piece in enumerate(_pieces(answer, is_cut=fault.is_cut)):
            if count:
                await waits.idle(gap_s)
            yield piece
        if fault.is_cut:
            raise UpstreamBroken("the connection broke before the answer was complete")


async def _answer(wire: Wire, fault: Fault, request: UpstreamRequest, request_id: str) -> tuple[int, Answer]:
    if fault.status != 200:
        return fault.status, wire.error(fault.status, fault.message, request_id)
    try:
        if wire.takes_form:
            request = replace(request, body=await form_of(request))
        return 200, wire.answer(request)
    except (MsgspecError, MalformedForm, UnicodeDecodeError, RecursionError) as error:
        return 400, wire.error(400, f"Cannot read the request: {error}", request_id)


def _pieces(answer: Answer, *, is_cut: bool) -> Iterable[bytes]:
    if isinstance(answer, bytes):
        return [answer[: len(answer) // 2] if is_cut else answer]
    pieces = answer.pieces if isinstance(answer, Typed) else answer
    return list(pieces)[:-1][:_PIECES_BEFORE_CUT] if is_cut else pieces
