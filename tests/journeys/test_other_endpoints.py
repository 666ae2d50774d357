"""The official `openai` package on the other paths: completions, moderations, speech, transcription; and reranking."""

from __future__ import annotations

import json
import socket

import openai
import pytest
from google.genai import errors as genai_errors

from tests.journeys.processes import MB, WAIT_S, Gateway, eventually

TEXT = "eins zwei drei vier"
FILE = ("talk.wav", b"RIFF" + bytes(range(256)) * 1000, "audio/wav")
TOLD = "talk.wav has 256004 bytes"


def test_a_completion_is_answered_and_streamed(openai_client, model):
    create = openai_client.completions.create
    whole = create(model=model, prompt=TEXT)
    assert whole.choices[0].text == TEXT and whole.usage.total_tokens > 0 and whole._request_id.startswith("req_")
    chunks = list(create(model=model, prompt=TEXT, stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == TEXT
    assert [chunk.usage for chunk in chunks if chunk.usage] == []
    last = list(create(model=model, prompt=TEXT, stream=True, stream_options={"include_usage": True}))[-1]
    assert last.usage == whole.usage


def test_a_completion_that_breaks_off_raises(openai_client, model):
    texts = []
    with pytest.raises(openai.APIError, match="closed the stream before its end"):
        for chunk in openai_client.completions.create(model=f"{model}+cut", prompt=TEXT, stream=True):
            texts += [choice.text for choice in chunk.choices]
    assert texts and TEXT.startswith("".join(texts))


def test_texts_are_moderated(openai_client, model):
    verdict = openai_client.moderations.create(model=model, input=[TEXT, "x"])
    assert [result.flagged for result in verdict.results] == [False, False]
    with pytest.raises(openai.NotFoundError, match="omni-moderation-latest"):
        openai_client.moderations.create(input=TEXT)


@pytest.mark.parametrize(("kind", "content_type"), [("mp3", "audio/mpeg"), ("wav", "audio/wav")])
def test_speech_streams_as_sound(openai_client, upstream, model, kind, content_type):
    asked = {"model": model, "input": TEXT, "voice": "alloy", "response_format": kind}
    with openai_client.audio.speech.with_streaming_response.create(**asked) as answer:
        sound = b"".join(answer.iter_bytes())
        assert answer.headers["content-type"] == content_type
        assert answer.headers["x-request-id"].startswith("req_")
    assert sound == upstream.sent(model) and sound[:4] in {b"ID3\x04", b"RIFF"}


def test_speech_comes_as_events(openai_client, model):
    answer = openai_client.audio.speech.create(model=model, input=TEXT, voice="alloy", stream_format="sse")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    assert events[-1]["type"] == "speech.audio.done"


def test_sound_that_breaks_off_is_not_taken_for_whole(gateway, shopper, model):
    body = {"model": f"{model}+cut", "input": TEXT, "voice": "alloy"}
    with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as sock:
        sent = json.dumps(body).encode()
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shopper.key}\r\n"
        sock.sendall(f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"audio/mpeg" in answer and b"ID3" in answer and not answer.endswith(b"0\r\n\r\n")


def test_sound_is_transcribed_in_every_shape(openai_client, upstream, model):
    create = openai_client.audio.transcriptions.create
    assert create(model=model, file=FILE, language="de").text == TOLD
    assert create(model=model, file=FILE, response_format="text") == f"{TOLD}\n"
    assert TOLD in create(model=model, file=FILE, response_format="srt")
    assert create(model=model, file=FILE, response_format="verbose_json").text == TOLD
    assert upstream.seen(model)[0]["body"]["language"] == "de"


def test_a_transcript_streams_word_by_word(openai_client, model):
    events = list(openai_client.audio.transcriptions.create(model=model, file=FILE, stream=True))
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == TOLD
    assert events[-1].usage.output_tokens > 0


def test_a_transcript_that_breaks_off_raises(openai_client, model):
    words = []
    with pytest.raises(openai.APIError, match="closed the stream before its end"):
        for event in openai_client.audio.transcriptions.create(model=f"{model}+cut", file=FILE, stream=True):
            words.append(event.delta)
    assert words and TOLD.startswith("".join(words))


def test_a_renamed_model_is_all_that_changes_in_a_form(openai_client, upstream):
    create = openai_client.audio.transcriptions.create
    assert create(model="public-name", file=FILE, prompt="ü").text == TOLD
    received = upstream.received("upstream-name")
    assert FILE[1] in received and b'name="model"\r\n\r\nupstream-name\r\n' in received


@pytest.mark.parametrize(("fault", "kind"), [("429", openai.RateLimitError), ("500", openai.InternalServerError)])
def test_faults_of_a_transcription_are_the_exception_classes_that_programs_catch(openai_client, model, fault, kind):
    with pytest.raises(kind):
        openai_client.audio.transcriptions.create(model=f"{model}+{fault}", file=FILE)


def test_an_upstreams_retry_after_is_passed_on_to_an_upload(openai_client, model):
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.audio.transcriptions.create(model=f"{model}+429", file=FILE)
    assert caught.value.response.headers["retry-after"] == "3"


@pytest.mark.parametrize("fault", ["429", "500", "529", "html502", "malformed", "cut", "silent"])
def test_the_next_channel_rescues_each_kind_of_request(gateway, survivor, upstream, fault):
    with openai.OpenAI(api_key=survivor.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        model = f"openai-rescue-{fault}"
        assert client.audio.transcriptions.create(model=model, file=FILE).text == TOLD
        assert client.completions.create(model=model, prompt=TEXT).choices[0].text == TEXT
        assert len(client.moderations.create(model=model, input=TEXT).results) == 1
        if fault not in {"cut", "malformed"}:  # sound that has begun cannot be begun again; JSON is no sound
            assert client.audio.speech.create(model=model, input=TEXT, voice="x").content[:3] == b"ID3"
    received = [line["body_sha256"] for line in upstream.seen(f"rescued-{fault}") if "transcriptions" in line["path"]]
    assert len(received) == 1


def test_a_form_that_is_no_form_is_refused_in_the_packages_own_class(gateway, shopper, openai_client):
    answer = gateway.ask("/v1/audio/transcriptions", {"model": "fake-1"}, key=shopper.key)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_form")
    with pytest.raises(openai.NotFoundError, match="not served here"):
        openai_client.audio.transcriptions.create(model="nobody-has-this", file=FILE)


def test_an_upload_over_the_limit_is_413(openai_client, model):
    with pytest.raises(openai.APIStatusError) as caught:
        openai_client.audio.transcriptions.create(model=model, file=("a.wav", bytes(33 * MB)))
    assert caught.value.status_code == 413 and "limit is 32 MB" in caught.value.message


def test_an_upload_of_200_mb_leaves_memory_flat(shopper, upstream, tmp_path):
    gateway = Gateway(tmp_path, "uploads", ROUTEX_MAX_BODY_MB="256")
    try:
        model, size = "fake-large-upload", 200 * MB
        with openai.OpenAI(api_key=shopper.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
            client.audio.transcriptions.create(model=model, file=FILE)
        begin = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n' + model.encode()
        begin += b'\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="large.wav"\r\n\r\n'
        end = b"\r\n--b--\r\n"
        before = peak = gateway.rss_bytes
        with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S * 4) as sock:
            head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shopper.key}\r\n"
            head += "connection: close\r\n"
            head += (
                f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {len(begin) + size + len(end)}\r\n"
            )
            sock.sendall(head.encode() + b"\r\n" + begin)
            for _ in range(200):
                sock.sendall(bytes(MB))
                peak = max(peak, gateway.rss_bytes)
            sock.sendall(end)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        peak = max(peak, gateway.rss_bytes)
        assert answer.startswith(b"HTTP/1.1 200") and f"large.wav has {size} bytes".encode() in answer
        assert upstream.seen(model)[-1]["body_bytes"] == len(begin) + size + len(end)
        assert peak - before < 16 * MB
    finally:
        gateway.stop()


def test_nothing_of_an_upload_is_logged_or_left_behind(gateway, openai_client, shopper, model, records):
    marker = b"SECRET-SOUND" * 50_000
    openai_client.audio.transcriptions.create(model=model, file=("private-name.wav", marker))
    (record,) = records(shopper, model)
    assert record.operation == "openai-transcription" and record.request_bytes > len(marker)
    told = gateway.log + json.dumps({name: str(value) for name, value in vars(record).items()})
    assert "SECRET-SOUND" not in told and "private-name" not in told
    eventually(lambda: not gateway.nameless_files, "the upload's file is gone")


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_are_reranked(gateway, shopper, upstream, path):
    body = {"model": "compat-ranker", "query": "the red dog", "documents": ["a cat", {"text": "a red dog"}, "the dog"]}
    answer = gateway.ask(path, {**body, "top_n": 2, "return_documents": True}, key=shopper.key)
    assert answer.status == 200, answer.body
    assert [row["index"] for row in answer.json["results"]] == [1, 2]
    assert answer.json["results"][0]["document"] == {"text": "a red dog"}
    assert upstream.seen("compat-ranker")[-1]["path"] == "/compat/v1/rerank"
    assert gateway.ask(path, {**body, "model": "compat-x+429"}, key=shopper.key).status == 429


def test_an_openai_client_embeds_with_a_gemini_upstream_and_the_reverse(openai_client, genai_client, upstream):
    packed = openai_client.embeddings.create(model="known-gemini", input=["a", "b"], dimensions=8)
    assert upstream.seen("known-gemini")[-1]["path"].endswith("/known-gemini:batchEmbedContents")
    assert [row.index for row in packed.data] == [0, 1] and packed.usage.prompt_tokens > 0
    config = {"output_dimensionality": 8}
    floats = genai_client.models.embed_content(model="known-openai", contents=["a", "b"], config=config)
    assert upstream.seen("known-openai")[-1]["path"] == "/v1/embeddings"
    for row, other in zip(packed.data, floats.embeddings, strict=True):
        assert row.embedding == pytest.approx(other.values, abs=1e-6)


def test_refusals_of_a_converted_request_are_in_the_clients_words(gateway, shopper, openai_client, genai_client):
    with pytest.raises(openai.BadRequestError, match="holds token ids"):
        openai_client.embeddings.create(model="known-gemini", input=[1, 2, 3])
    shopper_model = "openai-main/fake-refusing+400"
    with pytest.raises(genai_errors.ClientError, match="upstream says 400") as caught:
        genai_client.models.embed_content(model=shopper_model, contents="a")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_listings_are_read_page_by_page(anthropic_client, genai_client, openai_client):
    names = [card.id for card in openai_client.models.list()]
    assert len(names) > 4
    assert [card.id for card in anthropic_client.models.list(limit=2)] == names
    assert [card.name for card in genai_client.models.list(config={"page_size": 2})] == [f"models/{x}" for x in names]
