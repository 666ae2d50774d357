"""OpenAI Completions, the older text format: whole, or as `data:` events that end with `[DONE]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.body import Members, read_any, read_flag, read_members, read_model, refuse_other_kinds, splice
from routing.engine.errors import GatewayError
from routing.engine.format import Answer, Asked, Route, StreamReader
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

_PATH = "/v1/completions"
_encode = msgspec.json.Encoder().encode


class _Completion(AnswerFacts):
    choices: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    text: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_CHUNK = msgspec.json.Decoder(_Chunk)


class OpenAICompletions(OpenAIShaped):
    """OpenAI Completions."""

    name = "openai-completions"
    paths = {_PATH: "openai-completions"}
    is_text = True
    output_limits = (("max_tokens",),)
    choice_counts = (("best_of",), ("n",))
    heartbeat = b": ka\n\n"

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("prompt",), _PATH)
        asked = Asked(read_model(members), is_stream=read_flag(members, "stream"), members=members)
        if asked.is_stream:
            options = read_any(members, "stream_options")
            asked.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
            asked.choices = _choices(members)
        return asked

    def write_request(self, body: bytes, asked: Asked, model: str) -> bytes:
        """Return the body with the upstream's model name; a stream's usage is always asked for (ADR 7)."""
        changes = {"model": _encode(model)}
        if asked.is_stream and not asked.wants_usage:
            options = read_any(asked.members, "stream_options")
            kept = options if isinstance(options, dict) else {}
            changes["stream_options"] = _encode({**kept, "include_usage": True})
        return splice(body, asked.members, changes)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        completion = decode(_COMPLETION, body)
        answer = answer_of(completion)
        if completion.choices is None:
            raise ValueError("the answer has no choices")
        return answer

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of chunks."""
        return CompletionsReader(asked)


def _choices(members: Members) -> int:
    """Return how many choices a stream will have: `n` for each prompt."""
    count, prompt = read_any(members, "n"), read_any(members, "prompt")
    prompts = 1
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        prompts = len(prompt)
    return prompts * (count if isinstance(count, int) else 1)


@dataclass(slots=True)
class CompletionsReader(StreamReader):
    """Takes out the usage chunk that the client did not ask for, and a `[DONE]` that comes too early."""

    _seen: set[int | None] = field(default_factory=set)
    _finished: set[int | None] = field(default_factory=set)
    _is_kept: bool = True

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one chunk, or of the `[DONE]`."""
        self._is_kept = True
        if data.startswith(b"[DONE]"):
            # By itself it ends nothing: without its finish reasons the text was cut short.
            self.is_complete = self.is_complete or (bool(self._seen) and self._seen == self._finished)
            self._is_kept = self.is_complete
            return
        chunk = self._decode(_CHUNK, data)
        if chunk is None:
            return
        if chunk.error:
            self._fail(*failure_of(chunk.error))
            return
        self.model = text_of(chunk.model) or self.model
        if (usage := read_usage(chunk.usage)) is not None:
            self.usage = usage
            self._is_kept = bool(chunk.choices) or self.asked.wants_usage
        for choice in chunk.choices or ():
            self._read_choice(choice)

    def _read_choice(self, choice: _Choice) -> None:
        self._seen.add(choice.index)
        if isinstance(choice.text, str) and choice.text:
            self.has_content = True
            self._count_piece(choice.text.encode(errors="replace"))
        if choice.finish_reason:
            self._finished.add(choice.index)
            if self._finished == self._seen and len(self._seen) >= self.asked.choices:
                self.is_complete = True

    def relay(self, block: bytes, data: bytes) -> bytes:
        """Return the event, or nothing where it was only for us."""
        return block if self._is_kept or not data else b""

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return `data: {"error": {…}}`, on which the SDKs raise; no `[DONE]` may follow it."""
        return b"data: " + _encode({"error": error_object(error, request_id)}) + b"\n\n"
