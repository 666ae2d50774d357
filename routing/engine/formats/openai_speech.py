"""OpenAI Speech: a text in, sound out, as bytes of the asked kind or as events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from routing.engine.body import read_any, read_members, read_model, refuse_other_kinds
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, Reading, Route, StreamReader
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of, error_object, failure_of, read_usage
from routing.engine.wirejson import decode

_PATH = "/v1/audio/speech"


class _Event(msgspec.Struct):
    type: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_OBJECT = msgspec.json.Decoder(AnswerFacts)


class OpenAISpeech(OpenAIShaped):
    """OpenAI Speech."""

    name = "openai-speech"
    paths = {_PATH: "openai-speech"}
    heartbeat = b": ka\n\n"

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("input", "voice"), _PATH)
        return Asked(read_model(members), is_stream=read_any(members, "stream_format") == "sse", members=members)

    def accept(self, asked: Asked) -> str:
        """Return anything, where the body says which kind of sound is wanted."""
        return super().accept(asked) if asked.is_stream else "*/*"

    def reads_as(self, asked: Asked, content_type: bytes) -> Reading:
        """Return how an answer is read; some upstreams send sound where events were asked for."""
        if b"json" in content_type:
            return "whole"
        return "events" if asked.is_stream and b"event-stream" in content_type else "bytes"

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer in JSON, which no sound is but some upstreams wrap sound in."""
        return answer_of(decode(_OBJECT, body))

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of `speech.audio.…` events."""
        return SpeechReader(asked)


@dataclass(slots=True)
class SpeechReader(StreamReader):
    """Waits for `speech.audio.done`, which carries the usage."""

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one event; a `[DONE]`, which some add, says nothing."""
        event = None if data.startswith(b"[DONE]") else self._decode(_EVENT, data)
        if event is None:
            return
        if event.type == "error" or event.error:
            self._fail(*failure_of(event.error))
        elif event.type == "speech.audio.done":
            self.is_complete = True
            self.usage = read_usage(event.usage) or self.usage
        else:
            self.has_content = True

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `event: error`, on which the SDKs raise."""
        event = {"type": "error", "error": error_object(error, request_id)}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
