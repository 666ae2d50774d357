"""Echo's completions, moderations, sound and reranking, judged by the official client where it has them."""

import io
import json
import wave

import openai
import pytest

from channels_app.engine.errors import UpstreamBroken
from channels_app.engine.provider import Timeouts, UpstreamRequest
from channels_app.engine.providers.echo import Echo

pytestmark = pytest.mark.asyncio

FILE = ("talk.wav", b"RIFF" + bytes(1000), "audio/wav")


async def test_completion_repeats_each_prompt(openai_client):
    answer = await openai_client.completions.create(model="echo", prompt=["one two", "three"])
    assert [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices] == [
        (0, "one two", "stop"),
        (1, "three", "stop"),
    ]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_completion_streams_word_by_word_and_keeps_its_limit(openai_client):
    asked = {"model": "echo", "prompt": "one two three", "max_tokens": 2}
    stream = await openai_client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert [choice.text for chunk in chunks for choice in chunk.choices] == ["one", " two", ""]
    assert chunks[-2].choices[0].finish_reason == "length" and chunks[-1].usage.completion_tokens == 2


async def test_moderation_flags_nothing(openai_client):
    answer = await openai_client.moderations.create(model="echo", input=["one", "two"])
    assert [result.flagged for result in answer.results] == [False, False]
    assert answer.results[0].categories.self_harm_intent is False
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert len((await openai_client.moderations.create(model="echo", input=parts)).results) == 1


@pytest.mark.parametrize(
    ("kind", "content_type", "start"), [("mp3", "audio/mpeg", b"ID3"), ("wav", "audio/wav", b"RIFF"), ("pcm", "", b"")]
)
async def test_speech_is_sound_of_the_asked_kind(openai_client, kind, content_type, start):
    asked = openai_client.audio.speech.with_streaming_response
    async with asked.create(model="echo", input="a b c", voice="alloy", response_format=kind) as answer:
        pieces = [piece async for piece in answer.iter_bytes()]
        assert answer.headers["content-type"] == (content_type or "audio/pcm")
    assert len(pieces) == 4 and pieces[0].startswith(start)
    if kind == "wav":
        with wave.open(io.BytesIO(b"".join(pieces))) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (24_000, 4 * 240)


async def test_speech_of_a_kind_that_echo_does_not_make_is_refused(openai_client):
    with pytest.raises(openai.BadRequestError):
        await openai_client.audio.speech.create(model="echo", input="x", voice="alloy", response_format="flac")


async def test_speech_comes_as_events_when_asked(openai_client):
    answer = await openai_client.audio.speech.create(model="echo", input="a b", voice="x", stream_format="sse")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * 3 + ["speech.audio.done"]
    assert events[-1]["usage"]["output_tokens"] == 3


async def test_transcription_tells_what_was_uploaded(openai_client):
    create = openai_client.audio.transcriptions.create
    assert (await create(model="echo", file=FILE)).text == "talk.wav has 1004 bytes"
    assert await create(model="echo", file=FILE, response_format="text") == "talk.wav has 1004 bytes\n"
    assert (await create(model="echo", file=FILE, response_format="vtt")).startswith("WEBVTT\n\n00:00")
    assert (await create(model="echo", file=FILE, response_format="verbose_json")).duration == 1.0


async def test_transcription_streams_word_by_word(openai_client):
    stream = await openai_client.audio.transcriptions.create(model="echo", file=FILE, stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "talk.wav has 1004 bytes"
    assert events[-1].usage.output_tokens > 0


class Source:
    def __init__(self, *pieces):
        self.pieces, self.length = pieces, sum(map(len, pieces))

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


async def test_transcription_reads_a_form_that_is_not_in_memory():
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    source = Source(head, b"x" * 50_000, b"x" * 50_000, b"\r\n--b--")
    headers = [("content-type", "multipart/form-data; boundary=b")]
    request = UpstreamRequest("openai-transcription", "echo", False, "POST", "", headers, b"", Timeouts(), (), source)
    answer = await Echo(gap_s=0).send(request, None)
    assert json.loads(b"".join([chunk async for chunk in answer.chunks]))["text"] == "f has 100000 bytes"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"--b\r\nx", b"--b--", b'--b\r\ncontent-disposition: form-data; name="x"']
)
async def test_transcription_of_what_is_no_form_is_a_bad_request(ask, body):
    headers = [("content-type", "multipart/form-data; boundary=b")]
    answer = await ask("openai-transcription", body, headers=headers)
    assert answer.status == 400
    assert (await ask("openai-transcription", body)).status == 400


async def test_faults_of_forms_and_sound_are_the_usual_ones(openai_client):
    with pytest.raises(openai.RateLimitError):
        await openai_client.audio.transcriptions.create(model="echo-429", file=FILE)
    with pytest.raises(UpstreamBroken):
        await openai_client.audio.speech.create(model="echo-cut", input="a b c", voice="alloy")


@pytest.mark.parametrize("shape", ["cohere", "jina"])
async def test_rerank_prefers_documents_with_the_querys_words(ask, shape):
    documents = ["a cat", {"text": "the big red dog"}, "the dog", "nothing"]
    body = {"query": "the red dog", "documents": documents, "top_n": 2, "return_documents": True}
    answer = await ask(f"{shape}-rerank", body)
    told = json.loads(b"".join([chunk async for chunk in answer.chunks]))
    assert [(row["index"], row["document"]["text"]) for row in told["results"]] == [
        (1, "the big red dog"),
        (2, "the dog"),
    ]
