"""Echo in OpenAI Speech: a moment of silence for each word."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import tokens_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Typed, Wire, data_event

#: An empty ID3 tag, and a frame of MPEG 1 layer III at 128 kbit/s, 44.1 kHz, in which everything is zero.
_MP3_HEAD = b"ID3\x04\x00\x00\x00\x00\x00\x00"
_MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
#: A hundredth of a second at 24 kHz, 16 bits, one channel: how the API's `pcm` is sampled.
_PCM_FRAME = bytes(480)
_TYPES = {"mp3": b"audio/mpeg", "wav": b"audio/wav", "pcm": b"audio/pcm"}


class _Body(Struct):
    input: Annotated[str, Meta(max_length=4096)]
    response_format: Literal["mp3", "wav", "pcm"] | None = None
    stream_format: Literal["sse", "audio"] | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> Answer:
    """Answer with silence."""
    body = _decode(request.body)
    kind, words = body.response_format or "mp3", len(body.input.split())
    if body.stream_format == "sse":
        return _events(_sound(kind, words), tokens_of(body.input))
    return Typed(_TYPES[kind], _sound(kind, words))


OPERATIONS = {"openai-speech": Wire(answer, error)}


def _sound(kind: str, words: int) -> Iterator[bytes]:
    """Yield the head, if the kind has one, and a frame for each word."""
    frame = _MP3_FRAME if kind == "mp3" else _PCM_FRAME
    if kind == "mp3":
        yield _MP3_HEAD + frame
    elif kind == "wav":
        yield _wav_head((words + 1) * len(frame)) + frame
    else:
        yield frame
    for _ in range(words):
        yield frame


def _wav_head(size: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + form + b"data" + struct.pack("<I", size)


def _events(sound: Iterator[bytes], tokens: int) -> Iterator[bytes]:
    count = 0
    for piece in sound:
        count += 1
        yield data_event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    usage = {"input_tokens": tokens, "output_tokens": count, "total_tokens": tokens + count}
    yield data_event({"type": "speech.audio.done", "usage": usage})
