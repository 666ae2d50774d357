"""Completions, moderations and speech through the gateway."""

from __future__ import annotations

import asyncio
import json

import pytest

from channels_app.engine.errors import UpstreamBroken
from routing.engine.document import ModelSpec, PolicySpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import PATHS, Harness, Step, status, streamed

pytestmark = pytest.mark.asyncio
TWO = [channel("a", priority=1), channel("b")]
ONCE = PolicySpec(attempts=1)
SPEECH = {"model": "m", "input": "say it", "voice": "alloy"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


def chunk(text="", **more):
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": None} | more
    return b"data: " + json.dumps({"id": "c", "model": "real", "choices": [choice]}).encode() + b"\n\n"


USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


def sound(*chunks, content_type=b"audio/mpeg", length=b""):
    headers = [(b"content-type", content_type)] + ([(b"content-length", length)] if length else [])
    return Step(chunks=list(chunks), headers=headers)


async def test_a_completion_passes_with_the_upstreams_model_name():
    whole = b'{"id":"c","model":"real","choices":[{"text":"x"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    harness = Harness(Step(chunks=[whole]), channels=[channel("a", models=[ModelSpec("m", "their-m")])])
    body = b'{"prompt" : "x", "model":"m","suffix":null}'
    answer = await harness.ask(body, path=PATHS["openai-completions"])
    assert answer.body == whole
    assert harness.provider.sent[0].body == body.replace(b'"m"', b'"their-m"')
    assert (harness.record.usage.input_tokens, harness.record.reported_model) == (3, "real")


@pytest.mark.parametrize("wants_usage", [False, True])
async def test_a_completion_streams_and_its_usage_is_known(wants_usage):
    harness = Harness(streamed(chunk("Once"), chunk(finish_reason="stop"), USAGE + DONE))
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    body = {"model": "m", "prompt": "x", "stream": True, **options}
    answer = await harness.ask(body, path=PATHS["openai-completions"])
    assert (USAGE in answer.body) == wants_usage
    assert answer.body.endswith(DONE) and harness.record.usage.output_tokens == 2
    assert json.loads(harness.provider.sent[0].body)["stream_options"] == {"include_usage": True}


async def test_a_completion_of_two_prompts_that_ends_after_one_is_cut():
    harness = Harness(streamed(chunk("a"), chunk(finish_reason="stop"), DONE))
    body = {"model": "m", "prompt": ["x", "y"], "stream": True}
    answer = await harness.ask(body, path=PATHS["openai-completions"])
    assert answer.body.endswith(DONE)
    assert harness.record.outcome == "answered", "the upstream said [DONE] after every choice it began"
    harness = Harness(streamed(chunk("a"), chunk(finish_reason="stop")))
    answer = await harness.ask(body, path=PATHS["openai-completions"])
    assert b"not complete" in answer.body and harness.record.outcome == "cut"


@pytest.mark.parametrize("answered", [{"results": None}, {"results": {}}, {"id": "modr-1"}])
async def test_a_moderation_without_results_is_tried_elsewhere(answered):
    good = Step(chunks=[b'{"results":[]}'])
    harness = Harness(Step(chunks=[json.dumps(answered).encode()]), good, channels=TWO)
    answer = await harness.ask({"model": "m", "input": []}, path=PATHS["openai-moderations"])
    assert (answer.body, [slug for slug, _ in harness.tried()]) == (b'{"results":[]}', ["a", "b"])


async def test_a_moderation_without_a_model_asks_for_the_apis_default():
    verdict = b'{"id":"modr-1","model":"omni","results":[{"flagged":false}]}'
    harness = Harness(Step(chunks=[verdict]), channels=[channel("a", models=["omni-moderation-latest"])])
    answer = await harness.ask(b'{"input":"x"}', path=PATHS["openai-moderations"])
    assert answer.body == verdict
    assert json.loads(harness.provider.sent[0].body) == {"input": "x", "model": "omni-moderation-latest"}


async def test_sound_passes_as_it_comes_with_its_type():
    gate = asyncio.Event()
    harness = Harness(sound(b"ID3one", gate, b"two", length=b"9"))

    async def release(piece):
        gate.set()

    answer = await harness.ask(SPEECH, path=PATHS["openai-speech"], on_write=release)
    assert answer.pieces == [b"ID3one", b"two"] and answer.is_ended
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("audio/mpeg", "9")
    assert dict(harness.provider.sent[0].headers)["accept"] == "*/*"
    assert harness.record.response_bytes == 9


async def test_sound_that_breaks_off_is_never_ended():
    harness = Harness(sound(b"ID3one", UpstreamBroken("connection lost")), sound(b"ID3"))
    answer = await harness.ask(SPEECH, path=PATHS["openai-speech"])
    assert answer.pieces == [b"ID3one"] and not answer.is_ended
    assert (harness.record.outcome, harness.record.error_code) == ("cut", "upstream_error")
    assert len(harness.provider.sent) == 1 and harness.provider.open == 0


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(529),
        sound(UpstreamBroken("connection lost")),
        sound(),
        sound(b"<html>", content_type=b"text/html"),
        sound(b'{"error":{"message":"busy"}}', content_type=b"application/json"),
    ],
)
async def test_speech_that_has_not_begun_is_tried_elsewhere(fault):
    harness = Harness(fault, sound(b"ID3"), channels=TWO)
    answer = await harness.ask(SPEECH, path=PATHS["openai-speech"])
    assert (answer.status, answer.body) == (200, b"ID3")
    assert [slug for slug, _ in harness.tried()] == ["a", "b"]


async def test_the_upstreams_refusal_of_speech_keeps_its_words():
    harness = Harness(status(400, body=b'{"error":{"message":"no such voice"}}'))
    answer = await harness.ask(SPEECH, path=PATHS["openai-speech"])
    assert answer.status == 400 and answer.json["error"]["message"] == "no such voice"
    answer = await Harness(status(429, retry_after="9"), policy=ONCE).ask(SPEECH, path=PATHS["openai-speech"])
    assert (answer.status, answer.headers["retry-after"]) == (429, "9")


async def test_speech_comes_as_events_when_asked():
    events = [
        b'data: {"type":"speech.audio.delta","audio":"SUQz"}\n\n',
        b'data: {"type":"speech.audio.done","usage":{"input_tokens":1,"output_tokens":2}}\n\n',
    ]
    harness = Harness(streamed(*events))
    answer = await harness.ask({**SPEECH, "stream_format": "sse"}, path=PATHS["openai-speech"])
    assert answer.body == b"".join(events)
    assert harness.record.is_stream and harness.record.usage.output_tokens == 2
    answer = await Harness(streamed(events[0])).ask({**SPEECH, "stream_format": "sse"}, path=PATHS["openai-speech"])
    assert answer.body.startswith(events[0]) and b"not complete" in answer.body


async def test_an_upstream_that_knows_no_speech_events_may_send_sound():
    harness = Harness(sound(b"RIFF", content_type=b"audio/wav"))
    answer = await harness.ask({**SPEECH, "stream_format": "sse"}, path=PATHS["openai-speech"])
    assert (answer.body, answer.headers["content-type"]) == (b"RIFF", "audio/wav")


@pytest.mark.parametrize("path", ["/v1/completion", "/v1/audio/speech/", "/v1/reranks"])
async def test_a_path_that_is_nearly_right_is_told(path):
    answer = await Harness().ask({}, path=path)
    assert answer.status == 404 and "Did you mean /v1/" in answer.json["error"]["message"]


async def test_another_version_of_a_path_is_told_the_one_that_is_served():
    answer = await Harness().ask({}, path="/v1alpha/models/m:generateContent")
    assert answer.status == 404
    assert "Did you mean /v1beta/models/m:generateContent?" in answer.json["error"]["message"]


async def test_a_channels_format_is_about_conversations_only():
    harness = Harness(sound(b"ID3"), channels=[channel("a", format="anthropic")])
    assert (await harness.ask(SPEECH, path=PATHS["openai-speech"])).status == 200
