"""Responses whose bytes pass unread: what routing needs of a request, an answer and a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, StreamReader
from routing.engine.formats.openai_responses.vocabulary import LIFECYCLE, TERMINAL, failed_error, with_searches
from routing.engine.openai_shape import AnswerFacts, answer_of, failure_of, read_usage, text_of
from routing.engine.wirejson import decode

# Events that announce and carry nothing yet: a failure after them may still go to another channel.
_PROLOGUE = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
        "keepalive",
    }
)


class _Response(AnswerFacts):
    """A response object, as a whole answer and inside the events that open and end a stream."""

    id: str | None = None
    created_at: int | float | None = None
    output: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    type: str | None = None
    sequence_number: int | None = None
    response: msgspec.Raw = msgspec.Raw()
    error: Any = None
    code: Any = None
    message: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_ANSWER = msgspec.json.Decoder(_Response)
_RESPONSE = msgspec.json.Decoder(_Response | None)
_encode = msgspec.json.Encoder().encode


def read_request(body: bytes) -> Asked:
    """Return the facts of a request.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("input",), "/v1/responses")
    return Asked(
        read_model(members),
        is_stream=read_flag(members, "stream"),
        session_hint=text_of(read_any(members, "prompt_cache_key")),
        members=members,
    )


def read_answer(body: bytes) -> Answer:
    """Return the facts of a response.

    Raises:
        ValueError: see the contract; a response with status `failed` counts as an error inside a 200.
    """
    response = decode(_ANSWER, body)
    answer = answer_of(response)
    if not response.output:
        raise ValueError("the answer has no output")
    answer.usage = with_searches(answer.usage, response.output)
    return answer


@dataclass(slots=True)
class ResponsesReader(StreamReader):
    """Remembers what an error event of ours has to continue: the response's id and the last sequence number."""

    _response_id: str = ""
    _created_at: int | float = 0
    _sequence: int = -1

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one event; a `[DONE]`, which some servers add, says nothing."""
        if data == b"[DONE]" or (event := self._decode(_EVENT, data)) is None:
            return
        kind = event.type or name.decode(errors="replace")
        if event.sequence_number is not None:
            self._sequence = event.sequence_number
        if kind == "error" or event.error:
            # Flat by the book, nested under `error` as servers also send it.
            self._fail(*failure_of(event.error or {"message": event.message, "code": event.code}))
        elif kind in LIFECYCLE or kind in TERMINAL:
            self._read_response(kind, event.response)
        elif kind not in _PROLOGUE:
            self.has_content = True
            if kind.endswith(".delta"):
                self._count_piece(data)

    def _read_response(self, kind: str, raw: msgspec.Raw) -> None:
        response = self._decode(_RESPONSE, raw) or _Response()
        self._response_id = response.id or self._response_id
        self._created_at = response.created_at or self._created_at
        self.model = text_of(response.model) or self.model
        self.usage = with_searches(read_usage(response.usage), response.output) or self.usage
        if kind == "response.failed":
            self._fail(*failure_of(response.error))
        elif kind in TERMINAL:
            self.is_complete = True

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `response.failed`, the terminal event of a response that broke, after the beginning if that is owed.

        The SDKs hand it out; an `error` event before it would end the stream for them, and Codex reads this one only.
        """
        response: dict[str, Any] = {
            "id": self._response_id or f"resp_{request_id}",
            "object": "response",
            "created_at": self._created_at,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.model or self.asked.model,
            "output": [],
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": None,
        }
        begun = b"" if self._response_id else self._write("response.created", {"response": response})
        failed = {**response, "status": "failed", "error": failed_error(error, request_id)}
        return begun + self._write("response.failed", {"response": failed})

    def _write(self, kind: str, members: dict[str, Any]) -> bytes:
        self._sequence += 1
        event = {"type": kind, "sequence_number": self._sequence, **members}
        return b"event: " + kind.encode() + b"\ndata: " + _encode(event) + b"\n\n"
