"""What the load client and the upstream say to each other in each format: requests, whole answers and streams."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

PROMPT = "Report on every subsystem, one sentence each, and say plainly what needs attention today. " * 4
ANSWER = "All systems are as they should be. "
_CREATED_S = 1760000000


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(value: dict[str, Any], *, is_named: bool = True) -> bytes:
    name = b"event: %s\n" % value["type"].encode() if is_named else b""
    return name + b"data: " + _json(value) + b"\n\n"


def _template(event: bytes) -> bytes:
    """Return an event as a %-template: its text is the one `%s`, its number in the stream the one `%d`."""
    return event.replace(b'"NUMBER"', b"%d").replace(b"PIECE", b"%s")


class Spoken(ABC):
    """A format, both ends of it. A piece of text is ASCII without anything that JSON would escape."""

    name: ClassVar[str]
    #: Only there in what ends a whole stream.
    end: ClassVar[bytes]
    #: Where the format repeats the text after the last delta; what follows holds no new event.
    repeats: ClassVar[bytes] = b""
    auth: ClassVar[str] = "authorization: Bearer"
    headers: ClassVar[str] = ""

    @abstractmethod
    def path(self, model: str, *, is_stream: bool) -> str:
        """Return the path that clients ask."""

    @abstractmethod
    def question(self, model: str, *, is_stream: bool) -> dict[str, Any]:
        """Return the body that clients send."""

    @abstractmethod
    def whole(self) -> bytes:
        """Return an answer of about 600 bytes."""

    def beginning(self) -> bytes:
        """Return what comes before the first delta."""
        return b""

    @abstractmethod
    def delta(self, number: int, text: bytes) -> bytes:
        """Return the event of one piece of text, counted from 0."""

    @abstractmethod
    def ending(self, pieces: Sequence[bytes]) -> bytes:
        """Return what follows the last delta; `pieces` are the texts of all of them."""

    def request(self, key: str, model: str, *, is_stream: bool) -> bytes:
        """Return the bytes of one request of about half a kilobyte."""
        body = _json(self.question(model, is_stream=is_stream))
        head = (
            f"POST {self.path(model, is_stream=is_stream)} HTTP/1.1\r\nhost: 127.0.0.1\r\n{self.auth} {key}\r\n"
            f"{self.headers}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Chat(Spoken):
    """OpenAI Chat Completions."""

    name = "openai-chat"
    end = b"[DONE]"
    _head: ClassVar[dict[str, Any]] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": _CREATED_S,
        "model": "bench",
    }

    def __init__(self) -> None:
        self._delta = _template(self._chunk({"content": "PIECE"}, None))
        usage = {"prompt_tokens": 120, "completion_tokens": 50, "total_tokens": 170}
        last = _event({**self._head, "choices": [], "usage": usage}, is_named=False)
        self._ending = self._chunk({}, "stop") + last + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**self._head, "choices": [choice]}, is_named=False)

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return the one path."""
        return "/v1/chat/completions"

    def question(self, model: str, *, is_stream: bool) -> dict[str, Any]:
        """Return one message."""
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
        return body | ({"stream": True} if is_stream else {})

    def whole(self) -> bytes:
        """Return one choice."""
        message = {"role": "assistant", "content": ANSWER * 8, "refusal": None}
        usage = {
            "prompt_tokens": 120,
            "completion_tokens": 64,
            "total_tokens": 184,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return _json({**self._head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def delta(self, number: int, text: bytes) -> bytes:
        """Return a chunk."""
        return self._delta % text

    def ending(self, pieces: Sequence[bytes]) -> bytes:
        """Return the reason, the usage and the end."""
        return self._ending


class Responses(Spoken):
    """OpenAI Responses."""

    name = "openai-responses"
    end = b'"response.completed"'
    repeats = b"response.output_text.done"
    _place: ClassVar[dict[str, Any]] = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}

    def __init__(self) -> None:
        going = self._response("in_progress", [], None)
        item = {"type": "message", "id": "msg_bench", "status": "in_progress", "role": "assistant", "content": []}
        self._beginning = b"".join(
            (
                _event({"type": "response.created", "sequence_number": 0, "response": going}),
                _event({"type": "response.in_progress", "sequence_number": 1, "response": going}),
                _event({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item}),
                self._placed("content_part.added", 3, part=self._part("")),
            )
        )
        self._delta = _template(self._placed("output_text.delta", "NUMBER", delta="PIECE", logprobs=[]))

    def _placed(self, kind: str, number: int | str, **members: Any) -> bytes:
        return _event({"type": f"response.{kind}", "sequence_number": number, **self._place, **members})

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _item(self, text: str) -> dict[str, Any]:
        content = [self._part(text)]
        return {"type": "message", "id": "msg_bench", "status": "completed", "role": "assistant", "content": content}

    def _response(self, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "id": "resp_bench",
            "object": "response",
            "created_at": _CREATED_S,
            "status": status,
            "model": "bench",
            "error": None,
            "incomplete_details": None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "output": output,
            "usage": usage,
        }

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": 120,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 120 + output_tokens,
        }

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return the one path."""
        return "/v1/responses"

    def question(self, model: str, *, is_stream: bool) -> dict[str, Any]:
        """Return one message."""
        body = {"model": model, "store": False, "input": [{"role": "user", "content": PROMPT}]}
        return body | ({"stream": True} if is_stream else {})

    def whole(self) -> bytes:
        """Return one message item; its text is shorter, for the envelope is longer."""
        return _json(self._response("completed", [self._item(ANSWER * 4)], self._usage(64)))

    def beginning(self) -> bytes:
        """Return the events that open response, item and part."""
        return self._beginning

    def delta(self, number: int, text: bytes) -> bytes:
        """Return a numbered delta."""
        return self._delta % (number + 4, text)

    def ending(self, pieces: Sequence[bytes]) -> bytes:
        """Return the events that close part, item and response, each with the whole text."""
        text, number = b"".join(pieces).decode(), len(pieces) + 4
        item = self._item(text)
        done = {"type": "response.output_item.done", "sequence_number": number + 2, "output_index": 0, "item": item}
        whole = self._response("completed", [item], self._usage(50))
        return b"".join(
            (
                self._placed("output_text.done", number, text=text, logprobs=[]),
                self._placed("content_part.done", number + 1, part=self._part(text)),
                _event(done),
                _event({"type": "response.completed", "sequence_number": number + 3, "response": whole}),
            )
        )


class Messages(Spoken):
    """Anthropic Messages."""

    name = "anthropic"
    end = b'"message_stop"'
    auth = "x-api-key:"
    headers = "anthropic-version: 2023-06-01\r\n"

    def __init__(self) -> None:
        block = {"type": "text", "text": ""}
        self._beginning = _event({"type": "message_start", "message": self._message([], None, 1)}) + _event(
            {"type": "content_block_start", "index": 0, "content_block": block}
        )
        delta = {"type": "text_delta", "text": "PIECE"}
        self._delta = _template(_event({"type": "content_block_delta", "index": 0, "delta": delta}))
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        self._ending = b"".join(
            (
                _event({"type": "content_block_stop", "index": 0}),
                _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": 50}}),
                _event({"type": "message_stop"}),
            )
        )

    def _message(self, content: list[dict[str, Any]], reason: str | None, output_tokens: int) -> dict[str, Any]:
        usage = {
            "input_tokens": 120,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        }
        return {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "bench",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return the one path."""
        return "/v1/messages"

    def question(self, model: str, *, is_stream: bool) -> dict[str, Any]:
        """Return one message, with the limit that the format wants."""
        body = {"model": model, "max_tokens": 512, "messages": [{"role": "user", "content": PROMPT}]}
        return body | ({"stream": True} if is_stream else {})

    def whole(self) -> bytes:
        """Return one block."""
        return _json(self._message([{"type": "text", "text": ANSWER * 8}], "end_turn", 64))

    def beginning(self) -> bytes:
        """Return the events that open message and block."""
        return self._beginning

    def delta(self, number: int, text: bytes) -> bytes:
        """Return a delta."""
        return self._delta % text

    def ending(self, pieces: Sequence[bytes]) -> bytes:
        """Return the events that close block and message."""
        return self._ending


class Gemini(Spoken):
    """Gemini generateContent and streamGenerateContent."""

    name = "gemini"
    end = b'"finishReason"'
    auth = "x-goog-api-key:"

    def __init__(self) -> None:
        chunk = {"candidates": [self._candidate("PIECE")], **self._tail(1)}
        self._delta = _template(_event(chunk, is_named=False))
        last = {"candidates": [self._candidate("") | {"finishReason": "STOP"}], **self._tail(50)}
        self._ending = _event(last, is_named=False)

    def _candidate(self, text: str) -> dict[str, Any]:
        return {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}

    def _tail(self, output_tokens: int) -> dict[str, Any]:
        usage = {
            "promptTokenCount": 120,
            "candidatesTokenCount": output_tokens,
            "totalTokenCount": 120 + output_tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 120}],
        }
        return {"usageMetadata": usage, "modelVersion": "bench", "responseId": "bench"}

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return the model's path; a stream is another method."""
        method = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
        return f"/v1beta/models/{model}:{method}"

    def question(self, model: str, *, is_stream: bool) -> dict[str, Any]:
        """Return one content."""
        return {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}

    def whole(self) -> bytes:
        """Return one candidate."""
        return _json({"candidates": [self._candidate(ANSWER * 8) | {"finishReason": "STOP"}], **self._tail(64)})

    def delta(self, number: int, text: bytes) -> bytes:
        """Return a chunk."""
        return self._delta % text

    def ending(self, pieces: Sequence[bytes]) -> bytes:
        """Return the last chunk."""
        return self._ending


SPOKEN: dict[str, Spoken] = {each.name: each for each in (Chat(), Responses(), Messages(), Gemini())}


def spoken_at(path: bytes) -> Spoken:
    """Return the format of an upstream's path; Chat where it names none."""
    if b":generateContent" in path or b":streamGenerateContent" in path:
        return SPOKEN["gemini"]
    ends = {b"/responses": "openai-responses", b"/messages": "anthropic"}
    return SPOKEN[next((name for end, name in ends.items() if path.endswith(end)), "openai-chat")]
