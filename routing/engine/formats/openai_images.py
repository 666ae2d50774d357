"""OpenAI Images: generations, whole or as a stream of partial pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.body import read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, Route, StreamReader
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of, error_object, failure_of, read_usage
from routing.engine.wirejson import decode

_PATH = "/v1/images/generations"


class _Images(AnswerFacts):
    data: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None
    message: Any = None
    code: Any = None


_IMAGES = msgspec.json.Decoder(_Images)
_EVENT = msgspec.json.Decoder(_Event)


class OpenAIImages(OpenAIShaped):
    """OpenAI Images."""

    name = "openai-images"
    paths = {_PATH: "openai-images"}
    choice_counts = (("n",),)
    heartbeat = b": ka\n\n"

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("prompt",), _PATH)
        return Asked(read_model(members), is_stream=read_flag(members, "stream"), members=members)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        images = decode(_IMAGES, body)
        answer = answer_of(images)
        if images.data is None:
            raise ValueError("the answer has no data")
        answer.usage = _pictured(answer.usage)
        return answer

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of `image_generation.…` events."""
        return ImagesReader(asked)


def _pictured(usage: Usage | None) -> Usage | None:
    """Return a usage whose output is pictures where it does not say what else it is."""
    if usage is None or usage.output_image_tokens:
        return usage
    return replace(usage, output_image_tokens=usage.output_tokens)


@dataclass(slots=True)
class ImagesReader(StreamReader):
    """Waits for `image_generation.completed`, which carries the last picture and the usage."""

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one event."""
        event = self._decode(_EVENT, data)
        if event is None:
            return
        if event.type == "error" or event.error:
            self._fail(*failure_of(event.error or {"message": event.message, "code": event.code}))
            return
        self.has_content = True
        if event.type == "image_generation.completed":
            self.is_complete = True
            self.usage = _pictured(read_usage(event.usage)) or self.usage

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `event: error`, on which the SDKs raise."""
        event = {"type": "error", "error": error_object(error, request_id)}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
