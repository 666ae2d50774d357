"""Answers: JSON lines of which the last says `done`; a whole answer is the one line that says everything."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.answers import Collector
from routing.engine.codec import Exchange, StreamDecoder
from routing.engine.failures import said_in
from routing.engine.messages import (
    Began,
    ChatAnswer,
    Ended,
    Failed,
    Finish,
    Finished,
    FinishReason,
    LogprobsDelta,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.sse import MAX_EVENT_BYTES, EventTooLarge
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import Halves, count_of, decode_cut, is_json, list_of, object_of, text_of


class _Message(msgspec.Struct):
    content: Any = None
    thinking: Any = None
    tool_calls: Any = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: Any = None
    error: Any = None
    model: Any = None
    created_at: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    logprobs: Any = None


_LINE = msgspec.json.Decoder(_Line)
_CUT = frozenset({("message", "content"), ("message", "thinking")})
_encode = msgspec.json.Encoder().encode
#: `load` and `unload` answer requests that asked nothing.
_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer, also one that came in lines.

    Raises:
        ValueError: see the contract.
    """
    decoder, collector = LinesDecoder(exchange), Collector()
    whole = body.strip()
    if is_json(whole.partition(b"\n")[0]):
        collector.take(decoder.feed(whole + b"\n"))
    else:
        collector.take(decoder.read(whole))
    if collector.failure is not None:
        raise ValueError(collector.failure.message)
    if not collector.is_complete:
        raise ValueError("the answer does not say that it is done")
    return collector.answer()


class LinesDecoder(StreamDecoder):
    """Reads an answer line by line. Thinking and text come in pieces, tool calls whole and mostly without ids."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._held = bytearray()
        self._halves = Halves()
        #: Text or thinking, whichever came last.
        self._open: type[TextDelta] | type[ReasoningDelta] = TextDelta
        self._has_begun = False
        self._is_over = False
        self._ids: set[str] = set()

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events of the lines that this chunk completes; see the contract."""
        events: list[StreamEvent] = []
        if b"\n" in chunk:
            *lines, rest = chunk.split(b"\n")
            if self._held:
                lines[0] = bytes(self._held) + lines[0]
                self._held.clear()
            for line in lines:
                if line and not self._is_over:
                    events += self.read(line)
            chunk = rest
        self._held += chunk
        if len(self._held) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a line of the stream is longer than {MAX_EVENT_BYTES >> 20} MB")
        return events

    def finish(self) -> list[StreamEvent]:
        """Return the events of a last line that lacks nothing but its end; see the contract."""
        rest = bytes(self._held)
        return self.read(rest) if not self._is_over and is_json(rest) else []

    def read(self, line: bytes) -> list[StreamEvent]:
        """Return the events of one line."""
        events: list[StreamEvent] = []
        if not line.strip():
            return events
        try:
            said = decode_cut(_LINE, line, _CUT)
        except (ValueError, RecursionError):
            self._is_over = True
            return [Failed("The upstream sent a line that is no answer.", 502)]
        if said.error:
            message, code, status = said_in(line)
            self._is_over = True
            return [Failed(message or "The upstream reported an error.", status, code)]
        if not self._has_begun:
            self._has_begun = True
            events.append(Began("", text_of(said.model), _seconds(said.created_at)))
        if said.message is not None:
            self._message(said.message, events)
        if said.logprobs:
            events.append(LogprobsDelta([_token(each) for each in list_of(said.logprobs)]))
        if said.done is True:
            self._done(said, events)
        return events

    def _message(self, message: _Message, events: list[StreamEvent]) -> None:
        if message.thinking and isinstance(message.thinking, str):
            self._delta(ReasoningDelta, message.thinking, events)
        if message.content and isinstance(message.content, str):
            self._delta(TextDelta, message.content, events)
        if message.tool_calls:
            for call in list_of(message.tool_calls):
                self._call(object_of(call), events)

    def _delta(self, kind: type[TextDelta] | type[ReasoningDelta], text: str, events: list[StreamEvent]) -> None:
        if kind is not self._open:
            self._release(events)
            self._open = kind
        if text := self._halves.join(text):
            events.append(kind(text))

    def _release(self, events: list[StreamEvent]) -> None:
        if half := self._halves.rest():
            events.append(self._open(half))

    def _call(self, call: dict[str, Any], events: list[StreamEvent]) -> None:
        function = object_of(call.get("function"))
        name, number = text_of(function.get("name")), len(self._ids)
        request_id = self.exchange.request_id
        call_id = text_of(call.get("id")) or mint_id(f"{request_id}.{number}" if request_id else "")
        if not name or call_id in self._ids:
            return
        self._ids.add(call_id)
        self._release(events)
        arguments = function.get("arguments")
        written = arguments if isinstance(arguments, str) else _encode(object_of(arguments)).decode()
        events += (ToolBegan(number, call_id, name), ToolDelta(number, written or "{}"), ToolEnded(number))

    def _done(self, said: _Line, events: list[StreamEvent]) -> None:
        self._is_over = True
        self._release(events)
        word = text_of(said.done_reason) or "stop"
        reason = _REASONS.get(word, "other")
        if self._ids and reason != "length":
            reason = "tool_calls"
        usage = Usage(input_tokens=count_of(said.prompt_eval_count), output_tokens=count_of(said.eval_count))
        events += (Finished(Finish(reason, detail=word if reason == "other" else "")), UsageReport(usage), Ended())


def _seconds(created_at: Any) -> int:
    """Return seconds since the epoch of an RFC 3339 time, 0 for anything else."""
    try:
        return int(datetime.fromisoformat(text_of(created_at)).timestamp())
    except (ValueError, OverflowError):
        return 0


def _token(said: Any) -> dict[str, Any]:
    """Return one token's log probability with the members that Chat's clients read."""
    said = object_of(said)
    token = _bare_token(said)
    token["top_logprobs"] = [_bare_token(object_of(each)) for each in list_of(said.get("top_logprobs"))]
    return token


def _bare_token(said: dict[str, Any]) -> dict[str, Any]:
    text, value = text_of(said.get("token")), said.get("logprob")
    logprob = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
