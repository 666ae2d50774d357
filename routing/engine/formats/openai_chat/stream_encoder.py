"""Events as the chunks of a completion stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.codec import Exchange, StreamEncoder
from routing.engine.errors import GatewayError
from routing.engine.formats.openai_chat.speech import (
    note_lost,
    own_audio,
    write_call_state,
    write_citation,
    write_detail,
    write_image,
)
from routing.engine.formats.openai_chat.vocabulary import (
    DETAILS,
    answer_id,
    closing_words,
    finish_word,
    is_legacy,
    usage_object,
)
from routing.engine.messages import (
    Began,
    Citation,
    Cited,
    Ended,
    Finished,
    LogprobsDelta,
    Media,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    TextState,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.openai_shape import error_object

_encode = msgspec.json.Encoder().encode
_TAIL = b',"logprobs":null,"finish_reason":null}]}\n\n'
_ROLE = b'{"role":"assistant","content":null}'


class _Call:
    """A call that has been told."""

    __slots__ = ("has_arguments", "is_custom")

    def __init__(self, is_custom: bool) -> None:
        self.is_custom = is_custom
        self.has_arguments = False


class _Choice:
    """What has been told of one choice."""

    __slots__ = (
        "annotations",
        "calls",
        "chars",
        "cited",
        "details",
        "has_spoken",
        "head",
        "images",
        "is_finished",
        "part",
        "start",
        "thought_end",
        "thought_start",
    )

    def __init__(self, head: bytes) -> None:
        #: The bytes of a chunk up to its delta.
        self.head = head
        self.calls: dict[int, _Call] = {}
        self.has_spoken = False
        self.is_finished = False
        #: Characters of the text so far, and where the part that is open began.
        self.chars = 0
        self.start = 0
        #: Citations of that part, told when it ends: only then its passage is known.
        self.cited: list[Citation] = []
        #: The part of the reasoning that is open, None when none is, and the passage of all reasoning that it is.
        self.part: int | None = None
        self.thought_start = self.thought_end = 0
        self.annotations = self.details = self.images = 0


class ChatEncoder(StreamEncoder):
    """Writes one stream: the role once per choice, headers of calls once, usage last, then `[DONE]`."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._head = b""
        self._choices: list[_Choice] = []
        self._usage: Usage | None = None
        self._is_legacy = is_legacy(exchange.request)

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes of one event; see the contract."""
        kind = type(event)
        if kind is TextDelta:
            return self._text(event)  # type: ignore[arg-type]
        return _WRITERS[kind](self, event) if kind in _WRITERS else b""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """Return `data: {"error": {…}}`, on which the SDKs raise; see the contract."""
        return b"data: " + _encode({"error": error_object(error, request_id)}) + b"\n\n"

    # --- frames --------------------------------------------------------------------------------------------------

    def _began(self, event: Began) -> bytes:
        return self._open(event.created_s) + self._roles(0)

    def _open(self, created_s: int) -> bytes:
        if not self._head:
            frame = {
                "id": answer_id(self.exchange.request_id),
                "object": "chat.completion.chunk",
                "created": created_s or int(time.time()),
                "model": self.exchange.request.model,
            }
            self._head = b"data: " + _encode(frame)[:-1]
        return b""

    def _roles(self, number: int) -> bytes:
        """Return the first chunks of all choices up to this one: SDKs want them in order."""
        self._open(0)
        told = b""
        for place in range(len(self._choices), number + 1):
            choice = _Choice(self._head + b',"choices":[{"index":%d,"delta":' % place)
            self._choices.append(choice)
            told += choice.head + _ROLE + _TAIL
        return told

    def _in(self, number: int) -> tuple[bytes, _Choice]:
        """Return the choice, and the first chunks that are still owed before it."""
        owed = b"" if number < len(self._choices) else self._roles(number)
        return owed, self._choices[number]

    def _delta(self, choice: _Choice, delta: dict[str, Any]) -> bytes:
        return choice.head + _encode(delta) + _TAIL

    # --- text ----------------------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        owed, choice = self._in(event.choice)
        choice.part = None
        if not event.text:
            return owed
        choice.has_spoken = True
        if event.is_refusal:
            return owed + self._delta(choice, {"refusal": event.text})
        choice.chars += len(event.text)
        return owed + choice.head + b'{"content":' + _encode(event.text) + b"}" + _TAIL

    def _cited(self, event: Cited) -> bytes:
        owed, choice = self._in(event.choice)
        if event.citation.url:
            choice.cited.append(event.citation)
        else:
            self.exchange.answer_losses.dropped("citations")
        return owed

    def _end_text(self, choice: _Choice) -> bytes:
        """Return the annotations of the text that was open."""
        cited, choice.cited = choice.cited, []
        start, choice.start = choice.start, choice.chars
        if not cited:
            return b""
        annotations = []
        for citation in cited:
            written = write_citation(citation, start, choice.chars)
            annotations.append({"index": choice.annotations, **written})
            choice.annotations += 1
        return self._delta(choice, {"annotations": annotations})

    def _part_ended(self, event: PartEnded | TextState) -> bytes:
        owed, choice = self._in(event.choice)
        choice.part, choice.thought_start = None, choice.thought_end
        return owed + self._end_text(choice)

    # --- thinking ------------------------------------------------------------------------------------------------

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        owed, choice = self._in(event.choice)
        text = event.text
        if choice.part is None:
            owed += self._end_text(choice)
            choice.thought_start = choice.thought_end
        elif choice.part != event.part:
            text = f"\n\n{text}"
        choice.part = event.part
        choice.thought_end += len(text)
        return owed + choice.head + b'{"reasoning_content":' + _encode(text) + b"}" + _TAIL

    def _reasoning_state(self, event: ReasoningState) -> bytes:
        owed, choice = self._in(event.choice)
        start, choice.thought_start, choice.part = choice.thought_start, choice.thought_end, None
        if not event.state.blob:
            return owed
        detail = write_detail(event.state, choice.details, start, choice.thought_end, event.is_redacted)
        choice.details += 1
        return owed + self._delta(choice, {DETAILS: [detail]})

    # --- calls ---------------------------------------------------------------------------------------------------

    def _tool_began(self, event: ToolBegan) -> bytes:
        owed, choice = self._in(event.choice)
        owed += self._end_text(choice)
        choice.part = None
        choice.calls[event.call] = _Call(event.is_custom)
        if self._is_legacy:
            return owed + self._legacy(choice, event.call, {"name": event.name, "arguments": ""})
        header: dict[str, Any] = {"index": event.call, "id": event.id}
        if event.is_custom:
            header |= {"type": "custom", "custom": {"name": event.name, "input": ""}}
        else:
            header |= {"type": "function", "function": {"name": event.name, "arguments": ""}}
        return owed + self._delta(choice, {"tool_calls": [header | write_call_state(event.state)]})

    def _tool_delta(self, event: ToolDelta) -> bytes:
        if not event.text:
            return b""
        owed, choice = self._in(event.choice)
        return owed + self._arguments(choice, event.call, event.text)

    def _arguments(self, choice: _Choice, number: int, text: str) -> bytes:
        call = choice.calls.get(number)
        if call is None:
            return b""
        call.has_arguments = call.has_arguments or not text.isspace()
        if self._is_legacy:
            return self._legacy(choice, number, {"arguments": text})
        name = b'"custom":{"input":' if call.is_custom else b'"function":{"arguments":'
        return choice.head + b'{"tool_calls":[{"index":%d,' % number + name + _encode(text) + b"}}]}" + _TAIL

    def _legacy(self, choice: _Choice, number: int, call: dict[str, Any]) -> bytes:
        """Return a call for a client that knows one call an answer, and no ids."""
        if number:
            self.exchange.answer_losses.dropped("tool_calls")
        return b"" if number else self._delta(choice, {"function_call": call})

    def _tool_ended(self, event: ToolEnded) -> bytes:
        owed, choice = self._in(event.choice)
        return owed + self._end_call(choice, event.call)

    def _end_call(self, choice: _Choice, number: int) -> bytes:
        """Return `{}` for a call that was given no arguments: SDKs parse what they have got."""
        call = choice.calls.get(number)
        if call is None or call.has_arguments or call.is_custom:
            return b""
        return self._arguments(choice, number, "{}")

    # --- the rest ------------------------------------------------------------------------------------------------

    def _part_made(self, event: PartMade) -> bytes:
        owed, choice = self._in(event.choice)
        part = event.part
        if isinstance(part, Media) and part.kind == "image":
            choice.has_spoken = True
            image = {"index": choice.images, **write_image(part)}
            choice.images += 1
            return owed + self._delta(choice, {"images": [image]})
        if (audio := own_audio(part)) is not None:
            choice.has_spoken = True
            return owed + self._delta(choice, {"audio": audio})
        note_lost(part, self.exchange)
        return owed

    def _logprobs(self, event: LogprobsDelta) -> bytes:
        owed, choice = self._in(event.choice)
        logprobs = _encode({"content": event.tokens, "refusal": None})
        return owed + choice.head + b'{},"logprobs":' + logprobs + b',"finish_reason":null}]}\n\n'

    def _usage_report(self, event: UsageReport) -> bytes:
        self._usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        owed, choice = self._in(event.choice)
        if choice.is_finished:
            return owed
        choice.is_finished = True
        told = [owed, self._end_text(choice)]
        told += [self._end_call(choice, number) for number in choice.calls]
        if not choice.has_spoken and not choice.calls:
            text, refusal = closing_words(event.finish)
            told += [self._delta(choice, {"content": text})] if text else []
            told += [self._delta(choice, {"refusal": refusal})] if refusal else []
        word = finish_word(event.finish, bool(choice.calls))
        if self._is_legacy and word == "tool_calls":
            word = "function_call"
        told.append(choice.head + b'{},"logprobs":null,"finish_reason":"%s"}]}\n\n' % word.encode())
        return b"".join(told)

    def _ended(self, event: Ended) -> bytes:
        if not self.exchange.request.wants_usage:
            return b"data: [DONE]\n\n"
        self._open(0)
        usage = _encode(usage_object(self._usage or Usage()))
        return self._head + b',"choices":[],"usage":' + usage + b"}\n\ndata: [DONE]\n\n"


_WRITERS: dict[type[StreamEvent], Callable[[ChatEncoder, Any], bytes]] = {
    Began: ChatEncoder._began,
    TextDelta: ChatEncoder._text,
    ReasoningDelta: ChatEncoder._reasoning,
    ReasoningState: ChatEncoder._reasoning_state,
    ToolBegan: ChatEncoder._tool_began,
    ToolDelta: ChatEncoder._tool_delta,
    ToolEnded: ChatEncoder._tool_ended,
    PartEnded: ChatEncoder._part_ended,
    TextState: ChatEncoder._part_ended,
    Cited: ChatEncoder._cited,
    PartMade: ChatEncoder._part_made,
    LogprobsDelta: ChatEncoder._logprobs,
    UsageReport: ChatEncoder._usage_report,
    Finished: ChatEncoder._finished,
    Ended: ChatEncoder._ended,
}
