"""An upstream's stream as events, and its whole answer as the same events collected."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.answers import Collector
from routing.engine.codec import Exchange, SSEDecoder
from routing.engine.failures import ErrorInside
from routing.engine.formats.openai_chat.choice_decoder import ChoiceDecoder
from routing.engine.formats.openai_chat.chunks import Chunk, ChunkChoice, read_chunk
from routing.engine.formats.openai_chat.failures import failure_in
from routing.engine.formats.openai_chat.vocabulary import BROKEN
from routing.engine.messages import Began, ChatAnswer, Ended, Failed, StreamEvent, UsageReport
from routing.engine.openai_shape import text_of, usage_of
from routing.engine.wirejson import decode

_ANY = msgspec.json.Decoder()
#: The greatest number of answers to one question that can be told apart.
_MAX_CHOICES = 128
#: How a body begins that is a stream of events whatever its content type says.
_STREAM_STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")


class ChatDecoder(SSEDecoder):
    """Follows `data:` chunks until all choices have finished and `[DONE]`, or the end of the bytes, is there.

    The end is waited for because servers send usage, and finish reasons anew, after the first finish reason.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.service_tier = ""
        self._choices: dict[int, ChoiceDecoder] = {}
        self._includes_cache = exchange.target.capabilities.input_includes_cache
        self._has_begun = False
        #: Usage that was reported before anything else: a beginning comes first.
        self._early: list[StreamEvent] = []
        self._is_whole = False
        self._is_over = False

    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one chunk; see the contract."""
        if self._is_over:
            return
        if data.startswith(b"[DONE]"):
            self._end(events)
            self._is_over = True
            return
        try:
            chunk = read_chunk(data)
        except (ValueError, RecursionError):
            self._read_torn(events)
            return
        if chunk is None:
            return
        if chunk.error or chunk.object == "error" or name == b"error" or chunk.choices is None:
            self._read_odd(chunk, data, events)
        else:
            self._read_chunk(chunk, events)

    def close(self, events: list[StreamEvent]) -> None:
        """Append the end of a stream that lacks nothing but its `[DONE]`."""
        if not self._is_over and self._is_answered:
            self._end(events)
        self._is_over = True

    @property
    def _is_answered(self) -> bool:
        """Whether as many answers as were asked for have their finish reasons."""
        choices = self._choices.values()
        is_all_there = self._is_whole or len(choices) >= self.exchange.request.choices
        return is_all_there and bool(choices) and all(choice.finish for choice in choices)

    def _read_torn(self, events: list[StreamEvent]) -> None:
        """Read an event that is no JSON: after the finish reasons it costs what was to come, and that is no answer."""
        if self._is_answered:
            self._end(events)
        else:
            self._fail(Failed("the upstream sent an event that is no JSON"), events)

    def _read_odd(self, chunk: Chunk, data: bytes, events: list[StreamEvent]) -> None:
        """Read an event that is an error, or one without choices: usage alone, or nothing of interest."""
        try:
            failed = failure_in(decode(_ANY, data))
        except (ValueError, RecursionError):  # what a chunk has no member for is read here for the first time
            self._read_torn(events)
            return
        if failed is None and (chunk.object == "error" or chunk.error):
            failed = Failed("")
        if failed is not None:
            self._fail(failed, events)
        else:
            self._read_usage(chunk.usage, events)

    def _read_chunk(self, chunk: Chunk, events: list[StreamEvent]) -> None:
        choices = chunk.choices
        if choices:
            if not self._has_begun:
                self._has_begun = True
                created_s = chunk.created if type(chunk.created) is int and chunk.created > 0 else 0
                events.append(Began(text_of(chunk.id), text_of(chunk.model), created_s))
                events += self._early
            for choice in choices:
                self._read_choice(choice, chunk.is_torn, events)
        if chunk.usage:
            self._read_usage(chunk.usage, events)
        if chunk.service_tier:
            self.service_tier = text_of(chunk.service_tier)

    def _read_choice(self, choice: ChunkChoice, is_torn: bool, events: list[StreamEvent]) -> None:
        number = choice.index if type(choice.index) is int and 0 <= choice.index < _MAX_CHOICES else 0
        decoder = self._choices.get(number)
        if decoder is None:
            decoder = self._choices[number] = ChoiceDecoder(self.exchange, number)
        if self._is_over:
            return
        decoder.take(choice, is_torn, events)
        if choice.message is not None:
            self._is_whole = True
        if choice.usage:
            self._read_usage(choice.usage, events)
        if choice.error or decoder.is_broken:
            failed = failure_in({"error": choice.error}) if choice.error else None
            status = BROKEN.get(decoder.finish, 502)
            self._fail(failed or Failed("the upstream broke the answer off", status, decoder.finish), events)

    def _read_usage(self, members: Any, events: list[StreamEvent]) -> None:
        if (usage := usage_of(members, self._includes_cache)) is None:
            return
        if self._has_begun:
            events.append(UsageReport(usage))
        else:
            self._early = [UsageReport(usage)]

    def _end(self, events: list[StreamEvent]) -> None:
        """Append the end, where every choice has its finish reason; without them the stream was cut."""
        choices = [self._choices[number] for number in sorted(self._choices)]
        if not choices or not all(choice.finish for choice in choices):
            return
        told: list[StreamEvent] = []
        if all(choice.close(told) for choice in choices):
            events += told
            events.append(Ended())
            self._is_over = True
        else:
            self._fail(Failed("the upstream called a tool without naming it", 502), events)

    def _fail(self, failed: Failed, events: list[StreamEvent]) -> None:
        if not self._is_over:
            events.append(failed if failed.message else replace(failed, message="the upstream reported an error"))
        self._is_over = True


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer: the events that its one object stands for, collected.

    Raises:
        ValueError: it is not JSON, an error inside a 200, or has no choices.
    """
    decoder = ChatDecoder(exchange)
    body = body.strip()
    events: list[StreamEvent] = []
    if body.startswith(_STREAM_STARTS):
        events += decoder.feed(body) + decoder.finish()
    else:
        decoder.read(b"", body, events)
        decoder.close(events)
    collector = Collector()
    collector.take(events)
    if collector.failure is not None:
        failure = collector.failure
        raise ErrorInside(failure.status, failure.message, failure.code)
    if not collector.is_complete:
        raise ValueError("the answer has no choices")
    return replace(collector.answer(), service_tier=decoder.service_tier)
