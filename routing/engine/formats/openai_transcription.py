"""OpenAI Transcription: a form with a sound file in, its text out, as JSON, in plain, or as events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from routing.engine.errors import BadRequest, GatewayError
from routing.engine.format import Answer, Asked, Reading, Route, StreamReader
from routing.engine.openai_shape import (
    AnswerFacts,
    OpenAIShaped,
    answer_of,
    error_object,
    failure_of,
    read_usage,
    text_of,
)
from routing.engine.wirejson import decode

_PATH = "/v1/audio/transcriptions"


class _Transcription(AnswerFacts):
    text: Any = None
    segments: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None
    message: Any = None
    code: Any = None


_TRANSCRIPTION = msgspec.json.Decoder(_Transcription)
_EVENT = msgspec.json.Decoder(_Event)


class OpenAITranscription(OpenAIShaped):
    """OpenAI Transcription."""

    name = "openai-transcription"
    paths = {_PATH: "openai-transcription"}
    heartbeat = b": ka\n\n"
    takes_form = True

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Refuse a body that is no form."""
        raise BadRequest(f"{_PATH} takes multipart/form-data.", code="invalid_form")

    def accept(self, asked: Asked) -> str:
        """Return anything: a field of the form, which may be the last one, says which kind of text is wanted."""
        return "*/*"

    def reads_as(self, asked: Asked, content_type: bytes) -> Reading:
        """Return what the answer's type says; subtitles and plain text cannot be checked."""
        if b"event-stream" in content_type:
            asked.is_stream = True
            return "events"
        return "whole" if b"json" in content_type or not content_type else "bytes"

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer in JSON; see the contract."""
        transcription = decode(_TRANSCRIPTION, body)
        answer = answer_of(transcription)
        has_text = isinstance(transcription.text, str) or isinstance(transcription.segments, list)
        if not has_text:
            raise ValueError("the answer has no text")
        return answer

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of `transcript.text.…` events."""
        return TranscriptionReader(asked)


@dataclass(slots=True)
class TranscriptionReader(StreamReader):
    """Waits for `transcript.text.done`, which carries the whole text and the usage."""

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one event; a `[DONE]`, which some add, says nothing."""
        event = None if data.startswith(b"[DONE]") else self._decode(_EVENT, data)
        if event is None:
            return
        if event.type == "error" or event.error:
            self._fail(*failure_of(event.error or {"message": event.message, "code": event.code}))
        elif event.type == "transcript.text.done":
            self.has_content = self.is_complete = True
            self.usage = read_usage(event.usage) or self.usage
        elif text_of(event.type).startswith("transcript."):
            self.has_content = True

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `event: error`, on which the SDKs raise."""
        event = {"type": "error", "error": error_object(error, request_id)}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
