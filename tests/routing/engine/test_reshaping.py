"""Upstreams of the client's own format that answer whole where a stream was asked for, or the other way round."""

import json

import pytest

from analytics.engine.record import Usage
from routing.engine.answers import Collector
from routing.engine.formats import CODECS, client_codec
from routing.engine.messages import Began, ChatAnswer, Choice, Ended, Finish, Finished, Text, TextDelta, UsageReport
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import GOOD_STREAM, GOOD_WHOLE, PATHS, Harness, Step, streamed
from tests.routing.engine.translation.talking import asked, exchange

pytestmark = pytest.mark.asyncio
TURN = [{"role": "user", "content": "hi"}]
#: Format → what its client asks, and where: whole, and as a stream.
CLIENTS = {
    "openai-chat": ({"messages": TURN}, PATHS["openai-chat"], PATHS["openai-chat"]),
    "openai-responses": ({"input": "hi"}, PATHS["openai-responses"], PATHS["openai-responses"]),
    "anthropic": ({"messages": TURN, "max_tokens": 9}, PATHS["anthropic"], PATHS["anthropic"]),
    "gemini": (
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        PATHS["gemini:generateContent"],
        PATHS["gemini:streamGenerateContent"],
    ),
}
USAGE = Usage(input_tokens=5, output_tokens=2)
ANSWER = ChatAnswer("c", "real-m", 7, (Choice((Text("Hello there"),), Finish("stop")),), USAGE)
EVENTS = [
    *(Began("c", "real-m"), TextDelta("Hello"), TextDelta(" there"), Finished(Finish("stop"))),
    *(UsageReport(USAGE), Ended()),
]


def whole(name: str) -> Step:
    """Return the step of an upstream of a format that answers whole."""
    return Step(chunks=[client_codec(name).encode_answer(ANSWER, exchange(asked(name), name))])


def in_events(name: str) -> Step:
    """Return the step of an upstream of a format that answers with a stream."""
    encoder = client_codec(name).stream_encoder(exchange(asked(name), name))
    return streamed(*(encoder.encode(event) for event in EVENTS))


def said(answer: ChatAnswer) -> tuple[str, str]:
    """Return the text of an answer, and why it ended."""
    (choice,) = answer.choices
    return "".join(part.text for part in choice.parts), choice.finish.reason


def read_stream(name: str, body: bytes) -> ChatAnswer:
    """Return a stream as a client of a format collects it."""
    decoder = CODECS[name].stream_decoder(exchange(asked(name), name))
    collector = Collector()
    collector.take(decoder.feed(body))
    collector.take(decoder.finish())
    assert collector.failure is None and collector.is_complete
    return collector.answer()


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_whole_answer_in_place_of_a_stream_is_told_as_a_stream(name):
    body, _, path = CLIENTS[name]
    harness = Harness(whole(name))
    answer = await harness.ask({"model": "m", "stream": True, **body}, path=path, query="alt=sse")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    assert said(read_stream(name, answer.body)) == ("Hello there", "stop")
    assert (harness.record.usage.input_tokens, harness.record.usage.output_tokens) == (5, 2)
    assert (harness.record.outcome, harness.provider.open) == ("answered", 0)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/json"])
async def test_a_stream_in_place_of_a_whole_answer_is_collected(name, content_type):
    body, path, _ = CLIENTS[name]
    step = in_events(name)
    step.headers = [(b"content-type", content_type)]
    harness = Harness(step)
    answer = await harness.ask({"model": "m", **body}, path=path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert said(CODECS[name].decode_answer(answer.body, exchange(asked(name), name))) == ("Hello there", "stop")
    assert (harness.record.usage.input_tokens, harness.record.usage.output_tokens) == (5, 2)
    assert harness.provider.open == 0


async def test_an_error_in_place_of_a_stream_is_tried_elsewhere():
    error = b'{"error":{"message":"overloaded","type":"server_error","code":503}}'
    harness = Harness(Step(chunks=[error]), streamed(), channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask(stream=True)
    assert (answer.status, answer.headers["x-routex-channel"]) == (200, "b")


@pytest.mark.parametrize(
    ("step", "is_stream"), [(Step(chunks=[GOOD_WHOLE]), True), (streamed(*GOOD_STREAM), False)], ids=["whole", "stream"]
)
async def test_what_cannot_be_told_in_the_shape_that_was_asked_for_is_tried_elsewhere(step, is_stream):
    """The upstream may read a request that nobody here can."""
    elsewhere = streamed() if is_stream else Step()
    harness = Harness(step, elsewhere, channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask(stream=is_stream, messages=[{"role": "oracle", "content": "hi"}])
    assert (answer.status, answer.headers["x-routex-channel"]) == (200, "b")


async def test_a_whole_completion_in_place_of_a_stream_is_a_fault_of_the_upstream():
    harness = Harness(Step(chunks=[json.dumps({"choices": [{"text": "Hi"}]}).encode()]))
    answer = await harness.ask({"model": "m", "prompt": "hi", "stream": True}, path=PATHS["openai-completions"])
    assert answer.status == 502
    assert "asked for a stream and sent a whole answer" in answer.json["error"]["message"]
