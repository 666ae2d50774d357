"""Echo's faults, waits and closing, for every operation."""

import asyncio
import json

import pytest

from channels_app.engine.errors import UpstreamBroken, UpstreamTimeout
from channels_app.engine.provider import Timeouts, UpstreamRequest
from channels_app.engine.providers.echo import WIRES, Echo
from tests.channels_app.engine.providers.conftest import BODIES

pytestmark = pytest.mark.asyncio


async def body_of(answer):
    return b"".join([chunk async for chunk in answer.chunks])


async def read_until_broken(answer, error):
    chunks = []
    with pytest.raises(error) as caught:
        async for chunk in answer.chunks:
            chunks.append(chunk)
    return chunks, caught.value


async def test_tests_know_every_operation(operation):
    assert operation in WIRES


async def test_tests_know_all_operations_but_the_forms():
    assert set(BODIES) == {name for name, wire in WIRES.items() if not wire.takes_form}


async def test_any_other_model_answers_like_echo(ask, operation):
    answer = await ask(operation, model="vendor/some-model:free")
    assert answer.status == 200
    assert await body_of(answer)


async def test_whole_body_has_the_length_that_its_head_says(ask, operation):
    answer = await ask(operation)
    body = await body_of(answer)
    if answer.header(b"content-type") == b"application/json":
        assert answer.header(b"content-length") == b"%d" % len(body)
    else:
        assert answer.header(b"content-length") == b""


@pytest.mark.parametrize("status", [400, 429, 500, 529])
async def test_status_faults_have_an_error_body_and_no_stream(ask, operation, status):
    answer = await ask(operation, model=f"echo-{status}", is_stream=True)
    assert answer.status == status
    assert answer.header(b"content-type") == b"application/json"
    assert answer.header(b"retry-after") == (b"2" if status == 429 else b"")
    assert json.loads(await body_of(answer))["error"]["message"].startswith(f"The model echo-{status} ")


async def test_cut_stream_breaks_after_some_words(ask, streamed_operation):
    whole = await body_of(await ask(streamed_operation, is_stream=True))
    answer = await ask(streamed_operation, model="echo-cut", is_stream=True)
    assert answer.status == 200
    chunks, error = await read_until_broken(answer, UpstreamBroken)
    assert error.is_retryable
    assert len(b"".join(chunks)) < len(whole)
    if streamed_operation != "openai-images":
        assert b"one" in b"".join(chunks)
    for terminal in (b"[DONE]", b"message_stop", b"response.completed", b"finishReason", b'finish_reason":"stop'):
        assert terminal not in b"".join(chunks)


async def test_cut_stream_of_one_word_still_breaks_before_its_end(ask, streamed_operation):
    body = {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "word"}],
        "contents": [{"parts": [{"text": "word"}]}],
        "input": "word",
        "prompt": "word",
    }
    answer = await ask(streamed_operation, body, model="echo-cut", is_stream=True)
    chunks, _ = await read_until_broken(answer, UpstreamBroken)
    for terminal in (b"[DONE]", b"message_stop", b"response.completed", b"finishReason"):
        assert terminal not in b"".join(chunks)


async def test_cut_whole_answer_breaks_inside_its_body(ask, operation):
    answer = await ask(operation, model="echo-cut")
    chunks, _ = await read_until_broken(answer, UpstreamBroken)
    if answer.header(b"content-length"):
        assert 0 < len(b"".join(chunks)) < int(answer.header(b"content-length"))


async def test_stalled_answer_ends_by_the_idle_limit(ask, naps, operation):
    answer = await ask(operation, model="echo-stall", is_stream=True, timeouts=Timeouts(idle_s=7))
    assert answer.status == 200
    chunks, error = await read_until_broken(answer, UpstreamTimeout)
    assert (chunks, error.wait, error.limit_s, naps.seconds) == ([], "idle", 7, [7])


async def test_stalled_answer_ends_by_the_total_limit_when_that_is_shorter(ask, naps):
    answer = await ask("openai-chat", model="echo-stall", timeouts=Timeouts(idle_s=7, total_s=3))
    _, error = await read_until_broken(answer, UpstreamTimeout)
    assert (error.wait, error.limit_s, naps.seconds) == ("total", 3, [3])


async def test_slow_answer_waits_before_its_head_and_between_words(ask, naps):
    answer = await ask("openai-chat", model="echo-slow", is_stream=True)
    assert naps.seconds == [2.0]
    await body_of(answer)
    assert naps.seconds == [2.0, 0.2, 0.2, 0.2, 0.2]


async def test_slow_answer_passes_the_first_byte_limit(ask, naps, operation):
    with pytest.raises(UpstreamTimeout) as caught:
        await ask(operation, model="echo-slow", timeouts=Timeouts(first_byte_s=0.5))
    assert (caught.value.wait, caught.value.limit_s, naps.seconds) == ("first_byte", 0.5, [0.5])


async def test_slow_words_pass_the_idle_and_the_total_limit(ask):
    answer = await ask("openai-chat", model="echo-slow", is_stream=True, timeouts=Timeouts(idle_s=0.1))
    chunks, error = await read_until_broken(answer, UpstreamTimeout)
    assert (len(chunks), error.wait) == (1, "idle")
    answer = await ask("openai-chat", model="echo-slow", is_stream=True, timeouts=Timeouts(total_s=2.5))
    chunks, error = await read_until_broken(answer, UpstreamTimeout)
    assert (len(chunks), error.wait, error.limit_s) == (3, "total", 2.5)


async def test_usual_pause_is_between_words_and_never_before_the_first(ask, naps, streamed_operation):
    answer = await ask(streamed_operation, is_stream=True)
    chunks = [chunk async for chunk in answer.chunks]
    assert naps.seconds == [0.01] * (len(chunks) - 1)


async def test_closing_twice_or_early_ends_the_body(ask):
    answer = await ask("openai-chat", is_stream=True)
    assert await anext(answer.chunks)
    await answer.close()
    await answer.close()
    assert [chunk async for chunk in answer.chunks] == []
    unread = await ask("openai-chat")
    await unread.close()
    assert await body_of(unread) == b""


def endless_request(model):
    body = json.dumps({"messages": [{"role": "user", "content": "one two three"}]}).encode()
    return UpstreamRequest("openai-chat", model, True, "POST", "echo://local/openai-chat", [], body, Timeouts())


async def test_cancelling_ends_a_wait_for_the_head_and_for_the_body():
    asleep = asyncio.Event()

    async def sleep_for_ever(seconds):
        asleep.set()
        await asyncio.Event().wait()

    echo = Echo(sleep=sleep_for_ever)
    head = asyncio.create_task(echo.send(endless_request("echo-slow"), None))
    await asleep.wait()
    head.cancel()
    with pytest.raises(asyncio.CancelledError):
        await head

    asleep.clear()
    answer = await echo.send(endless_request("echo-stall"), None)
    body = asyncio.create_task(body_of(answer))
    await asleep.wait()
    await answer.close()  # refused while another task waits inside, and no reason to fail
    body.cancel()
    with pytest.raises(asyncio.CancelledError):
        await body
    await answer.close()
