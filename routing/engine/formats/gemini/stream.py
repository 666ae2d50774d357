"""Gemini's streams, there and back."""

from __future__ import annotations

import msgspec

from routing.engine.codec import Exchange, SSEDecoder, StreamEncoder
from routing.engine.errors import GatewayError
from routing.engine.formats.gemini.candidates import CandidateWriter
from routing.engine.formats.gemini.chunks import Chunks
from routing.engine.formats.gemini.logprobs import encode_logprobs
from routing.engine.formats.gemini.members import Members
from routing.engine.formats.gemini.response import answer_id
from routing.engine.formats.gemini.signatures import encode_signature
from routing.engine.formats.gemini.vocabulary import encode_usage, error_body
from routing.engine.messages import (
    Cited,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
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

_encode = msgspec.json.Encoder().encode


class GeminiDecoder(SSEDecoder):
    """Reads chunks as events; a body that is no stream is read as the one chunk, or list of chunks, that it is."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._chunks = Chunks(exchange)

    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one chunk; see the contract."""
        self._chunks.read(data, events)

    def close(self, events: list[StreamEvent]) -> None:
        """Append what the end of the bytes means; see the contract."""
        self._chunks.close(events)


class _Call:
    """A call whose arguments are still coming: clients get it whole."""

    __slots__ = ("arguments", "began", "has_ended")

    def __init__(self, began: ToolBegan) -> None:
        self.began = began
        self.arguments: list[str] = []
        self.has_ended = False


class _Choice(CandidateWriter):
    """One streamed answer: what is open, and what waits for its end."""

    def __init__(self, index: int, exchange: Exchange) -> None:
        super().__init__(index, exchange)
        #: In the order in which they began, which is the order in which they are told.
        self.calls: dict[int, _Call] = {}
        self.finish: Finish | None = None
        #: Which text of the thinking that is open is being told; None while none is.
        self.thought: int | None = None


class GeminiEncoder(StreamEncoder):
    """Writes events as chunks: one for each piece of text or whole part, and a last one that ends every answer."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, int] | None = None
        self._is_array = not exchange.wants_sse
        self._has_opened = False
        identity = _encode({"modelVersion": exchange.request.model, "responseId": answer_id(exchange)})
        #: What follows a chunk's candidates.
        self._identity = b"," + identity[1:]
        self._head = b'data: {"candidates":[{"content":{"role":"model","parts":['
        self._tail = b']},"index":0}]' + self._identity + b"\r\n\r\n"

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes of one event; see the contract."""
        if type(event) is TextDelta:
            return self._text(event)
        if type(event) is ReasoningDelta:
            return self._thought(event)
        if isinstance(event, ToolBegan | ToolDelta | ToolEnded):
            return self._call(event)
        if isinstance(event, UsageReport):
            self._usage = encode_usage(event.usage)
        elif isinstance(event, Ended):
            return self._end()
        elif isinstance(event, PartEnded):
            self._choice(event.choice).thought = None
        elif isinstance(event, Finished | Cited | PartMade | ReasoningState | TextState | LogprobsDelta):
            return self._rest(event)
        return b""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """Return the error as the last chunk; see the contract."""
        return self._chunk(error_body(error, request_id)[1]) + self._array_end()

    # --- text and thinking -----------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        choice = self._choice(event.choice)
        choice.thought = None
        choice.note_text(event.text, is_refusal=event.is_refusal)
        if choice.is_plain and not event.choice and not self._is_array:
            return self._head + b'{"text":' + _encode(event.text) + b"}" + self._tail
        return self._part(choice, choice.signed({"text": event.text}, None))

    def _thought(self, event: ReasoningDelta) -> bytes:
        choice = self._choice(event.choice)
        words = event.text
        if choice.thought is not None and choice.thought != event.part:
            words = f"\n\n{words}"
        choice.thought = event.part
        if not event.choice and not self._is_array:
            return self._head + b'{"text":' + _encode(words) + b',"thought":true}' + self._tail
        return self._part(choice, {"text": words, "thought": True})

    # --- calls -----------------------------------------------------------------------------------------------------

    def _call(self, event: ToolBegan | ToolDelta | ToolEnded) -> bytes:
        choice = self._choice(event.choice)
        choice.thought = None
        if isinstance(event, ToolBegan):
            choice.calls[event.call] = _Call(event)
            return b""
        call = choice.calls.get(event.call)
        if call is None:
            return b""
        if isinstance(event, ToolDelta):
            call.arguments.append(event.text)
            return b""
        call.has_ended = True
        return self._tell_calls(choice)

    def _tell_calls(self, choice: _Choice, *, all_of_them: bool = False) -> bytes:
        """Return the calls that are whole, up to the first one that is not."""
        told = []
        for number, call in list(choice.calls.items()):
            if not call.has_ended and not all_of_them:
                break
            del choice.calls[number]
            began = call.began
            encoded = choice.call(began.id, began.name, "".join(call.arguments), began.state)
            told.append(self._part(choice, encoded))
        return b"".join(told)

    # --- everything else -------------------------------------------------------------------------------------------

    def _rest(self, event: Finished | Cited | PartMade | ReasoningState | TextState | LogprobsDelta) -> bytes:
        choice = self._choice(event.choice)
        match event:
            case Finished():
                choice.finish = event.finish
                return self._tell_calls(choice, all_of_them=True)
            case Cited():
                choice.citations.append(event.citation)
            case PartMade():
                choice.thought = None
                encoded = choice.part(event.part)
                return self._part(choice, encoded) if encoded is not None else b""
            case ReasoningState():
                return self._thought_state(choice, event)
            case TextState():
                return self._part(choice, {"text": "", "thoughtSignature": encode_signature(event.state)})
            case LogprobsDelta():
                blank = {"content": {"role": "model", "parts": [{"text": ""}]}}
                return self._candidate(blank | {"logprobsResult": encode_logprobs(event.tokens)}, choice)
        return b""

    def _thought_state(self, choice: _Choice, event: ReasoningState) -> bytes:
        if choice.thought is None:
            choice.sign_next(event.state, is_redacted=event.is_redacted)
            return b""
        choice.thought = None
        signature = encode_signature(event.state, is_redacted=event.is_redacted)
        return self._part(choice, {"text": "", "thought": True, "thoughtSignature": signature})

    def _choice(self, number: int) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(number, self.exchange)
        return choice

    def _end(self) -> bytes:
        """Return the last chunk, with what every answer is still owed, and the usage."""
        choices = [self._choices[number] for number in sorted(self._choices)]
        calls = b"".join(self._tell_calls(choice, all_of_them=True) for choice in choices)
        body: Members = {"candidates": [choice.end(choice.finish) for choice in choices]}
        if self._usage is not None:
            body["usageMetadata"] = self._usage
        return calls + self._chunk(_encode(body)[:-1] + self._identity) + self._array_end()

    # --- chunks ----------------------------------------------------------------------------------------------------

    def _part(self, choice: _Choice, part: Members) -> bytes:
        return self._candidate({"content": {"role": "model", "parts": [part]}}, choice)

    def _candidate(self, candidate: Members, choice: _Choice) -> bytes:
        return self._chunk(_encode({"candidates": [candidate | {"index": choice.index}]})[:-1] + self._identity)

    def _chunk(self, body: bytes) -> bytes:
        if not self._is_array:
            return b"data: " + body + b"\r\n\r\n"
        before = b"\n,\r\n" if self._has_opened else b"["
        self._has_opened = True
        return before + body

    def _array_end(self) -> bytes:
        return b"\n]\n" if self._is_array else b""
