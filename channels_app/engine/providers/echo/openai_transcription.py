"""Echo in OpenAI Transcription: the text is the file's name and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import ValidationError
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import Reply, tokens_of
from channels_app.engine.providers.echo.forms import Form
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.wire import Answer, Typed, Wire, data_event

_decode = Decoder(Form).decode
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")


def answer(request: UpstreamRequest) -> Answer:
    """Answer with what was uploaded, in the asked format."""
    form = _decode(request.body)
    file = form.files.get("file")
    if file is None:
        raise ValidationError("The form has no file")
    text, kind = f"{file.name} has {file.size} bytes", form.fields.get("response_format") or "json"
    if kind not in _FORMATS:
        raise ValidationError(f"`response_format` must be one of {', '.join(_FORMATS)}")
    if form.fields.get("stream") in {"true", "True", "1"}:
        return _stream(text)
    if kind in {"text", "srt", "vtt"}:
        return Typed(b"text/plain; charset=utf-8", iter([_plain(kind, text).encode()]))
    told: dict[str, Any] = {"text": text, "usage": _usage(text)}
    if kind != "json":
        told |= {"task": "transcribe", "language": "english", "duration": 1.0, "segments": []}
    return encode(told)


OPERATIONS = {"openai-transcription": Wire(answer, error, takes_form=True)}


def _plain(kind: str, text: str) -> str:
    if kind == "srt":
        return f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n"
    return f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n" if kind == "vtt" else f"{text}\n"


def _usage(text: str) -> dict[str, Any]:
    tokens = tokens_of(text)
    details = {"text_tokens": 0, "audio_tokens": 10}
    return {
        "type": "tokens",
        "input_tokens": 10,
        "input_token_details": details,
        "output_tokens": tokens,
        "total_tokens": 10 + tokens,
    }


def _stream(text: str) -> Iterator[bytes]:
    for word in Reply(0, 0, text=text).words():
        yield data_event({"type": "transcript.text.delta", "delta": word})
    yield data_event({"type": "transcript.text.done", "text": text, "usage": _usage(text)}) + b"data: [DONE]\n\n"
