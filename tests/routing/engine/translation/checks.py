"""What must hold of any bytes that a decoder is fed, good or bad; the property tests and the fuzz runner share it.

Each check takes bytes and raises on a broken promise: AssertionError for one of ours, whatever escaped otherwise.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from routing.engine.answers import Collector
from routing.engine.errors import BadRequest
from routing.engine.messages import ChatAnswer, ChatRequest, Ended, Failed, Part, StreamEvent, ToolCall
from routing.engine.translation import TranslatingReader, Translation
from tests.routing.engine.translation import endings, talking
from tests.routing.engine.translation.grammar import reading_of
from tests.routing.engine.translation.talking import CLIENTS, asked, exchange, pieces
from tests.routing.engine.translation.welltyped import disorder, faults

#: Sizes of packets that every stream is cut into; one byte only for those that are short.
PACKETS = (1, 7, 4096)
_SHORT = 3000


def request(name: str, body: bytes) -> ChatRequest | None:
    """Decode a client's request: a well-typed one, or a BadRequest that says what is wrong."""
    try:
        decoded = talking.client(name).decode_request(body, model="m", is_stream=True)
    except BadRequest as error:
        assert error.message, "a refusal without a sentence"
        return None
    assert faults(decoded) == []
    return decoded


def request_onwards(name: str, body: bytes) -> None:
    """Decode a request and write what came of it to every upstream: what can be read can be written."""
    decoded = request(name, body)
    if decoded is None:
        return
    for to in CLIENTS:
        try:
            written = talking.translation(decoded, to).write()
        except BadRequest as error:
            assert error.message, "a refusal without a sentence"
            continue
        msgspec.json.encode(written.body)


def answer(name: str, body: bytes) -> ChatAnswer | None:
    """Decode an upstream's whole answer: a well-typed one, or a ValueError."""
    try:
        decoded = talking.upstream(name).decode_answer(body, exchange(asked("openai-chat"), name))
    except ValueError:
        return None
    assert faults(decoded) == []
    return decoded


def answer_onwards(name: str, body: bytes) -> None:
    """Decode a whole answer and tell what came of it to every client."""
    decoded = answer(name, body)
    if decoded is None:
        return
    for to in CLIENTS:
        msgspec.json.decode(talking.client(to).encode_answer(decoded, exchange(asked(to), name)))


def error(name: str, body: bytes) -> None:
    """Decode an error answer: never raises."""
    said = talking.upstream(name).decode_error(body, {b"content-type": b"application/json", b"retry-after": b"x"})
    assert faults_of_failure(said) == []


def faults_of_failure(said: object) -> list[str]:
    """Return where an UpstreamFailure holds another type than it says."""
    wanted = {"message": str, "code": str, "kind": str, "retry_after_s": (int, float, type(None))}
    return [
        f"{name}: {getattr(said, name)!r}" for name, kind in wanted.items() if not isinstance(getattr(said, name), kind)
    ]


def events(name: str, chunks: list[bytes]) -> list[StreamEvent]:
    """Decode a stream that comes in these packets."""
    decoder = talking.upstream(name).stream_decoder(exchange(asked("openai-chat", is_stream=True), name))
    return talking.decoded(decoder, chunks)


def stream(name: str, body: bytes) -> list[StreamEvent]:
    """Decode a stream: events in their order, the same for every cut, and no clean end without a terminal marker."""
    told = events(name, [body])
    assert disorder(told) == []
    for size in PACKETS:
        if size > 1 or len(body) <= _SHORT:
            again = events(name, pieces(body, size))
            assert disorder(again) == []
            assert collected(again) == collected(told), f"other events in packets of {size}"
    ended = any(isinstance(event, Ended) for event in told)
    assert not (ended and any(isinstance(event, Failed) for event in told)), "both Ended and Failed"
    if ended:
        assert_may_end(name, body)
    return told


def collected(told: list[StreamEvent]) -> tuple[ChatAnswer, bool, bool]:
    """Return what the events amount to."""
    collector = Collector()
    collector.take(told)
    answer = collector.answer()
    choices = tuple(replace(choice, parts=tuple(map(_plainly, choice.parts))) for choice in answer.choices)
    return replace(answer, choices=choices), collector.is_complete, collector.failure is not None


def _plainly(part: Part) -> Part:
    """Return a call without its id where that was minted at random, because the upstream gave none of its own."""
    return replace(part, id="minted") if isinstance(part, ToolCall) and _MINTED.fullmatch(part.id) else part


_MINTED = re.compile(r"call_[0-9a-f]{24}")

#: What must stand somewhere in a stream, or in a plain answer in place of one, that ends well.
_MARKS = {
    "anthropic": (b"message_stop", b"stop_reason"),
    "gemini": (b"finishReason", b"finish_reason", b"blockReason", b"block_reason"),
    "openai-chat": (b"finish_reason",),
    "openai-responses": (b"completed", b"incomplete"),
}


def assert_may_end(name: str, body: bytes) -> None:
    """Fail where a stream ended well although its marker is not there, or something before it was no JSON."""
    if name in _MARKS:
        assert any(mark in body for mark in _MARKS[name]), "a clean end without a terminal marker"
        is_torn = any(data is endings.TORN for _, data in _before_end(name, body))
        assert not is_torn, "a clean end although an event before it was no JSON"


def _before_end(name: str, body: bytes) -> list[tuple[str, object]]:
    """Return the events up to the first that may end the stream: what follows it is not read."""
    found: list[tuple[str, object]] = []
    for each in endings.events_in(body):
        found.append(each)
        if endings.may_end(name, each[1]):
            break
    return found


def stream_onwards(name: str, body: bytes, size: int = 4096) -> None:
    """Relay a stream to every client: each hears a stream of its grammar with an end that is clean or an error."""
    for to in CLIENTS:
        reader = reader_for(to, name)
        told = talking.relayed(reader, pieces(body, size))
        reading = reading_of(to, told)
        assert reading.problems == [], f"told to {to}: {reading.problems} in {told!r}"
        assert reading.ending != "open", f"no end told to {to}: {told!r}"
        is_clean = reader.is_complete and not reader.failure
        assert reading.ending == ("clean" if is_clean else "error"), f"told to {to}: {reading.ending} in {told!r}"


def reader_for(to: str, name: str, **fields: object) -> TranslatingReader:
    """Return what relays an upstream's stream to a client."""
    exchanging = exchange(asked(to, is_stream=True, **fields), name)
    return talking.reader_of(Translation(talking.client(to), talking.upstream(name), exchanging))
