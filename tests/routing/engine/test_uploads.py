"""Forms through the gateway: forwarded as they arrive, replayed for another try, refused in the client's words."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest

from routing.engine.document import ModelSpec, PolicySpec
from routing.engine.upload import MEMORY_BYTES, Upload
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, status, streamed

pytestmark = pytest.mark.asyncio

PATH = "/v1/audio/transcriptions"
TYPE = {"content-type": "multipart/form-data; boundary=b"}
GOOD = json.dumps({"text": "hello", "usage": {"type": "tokens", "input_tokens": 7, "output_tokens": 2}}).encode()
EVENTS = [
    b'data: {"type":"transcript.text.delta","delta":"hello"}\n\n',
    b'data: {"type":"transcript.text.done","text":"hello","usage":{"input_tokens":7,"output_tokens":2}}\n\n',
]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


def field(name: str, value: str) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(content: bytes = b"RIFF sound", name: str = "file") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--b--\r\n"
FORM = field("model", "m") + field("language", "en") + file() + END


async def ask(harness: Harness, body=FORM, **fields):
    return await harness.ask(body, path=PATH, headers=TYPE | fields.pop("headers", {}), **fields)


def good(**fields):
    return Step(chunks=[GOOD], **fields)


async def test_a_form_and_its_answer_pass_unchanged():
    harness = Harness(good())
    answer = await ask(harness)
    assert (answer.status, answer.body) == (200, GOOD)
    assert harness.provider.uploaded == [FORM]
    (sent,) = harness.provider.sent
    assert sent.source.length == len(FORM) and sent.body == b""
    assert dict(sent.headers)["content-type"] == TYPE["content-type"]
    assert (harness.record.usage.input_tokens, harness.record.usage.output_tokens) == (7, 2)
    assert harness.record.request_bytes == len(FORM)


@pytest.mark.parametrize("name", ["their-model", "x"])
@pytest.mark.parametrize("is_first", [True, False])
async def test_only_the_models_bytes_change_wherever_they_stand(name, is_first):
    harness = Harness(good(), channels=[channel("a", models=[ModelSpec("m", name)])])
    parts = [field("model", "m"), file(b"\r\n--bb"[:-1] + b"\r\n--x" * 9)]
    body = b"".join(parts if is_first else reversed(parts)) + END
    body = body.replace(b"\r\n--b\r\n--x", b"\r\n--x")
    assert (await ask(harness, body)).status == 200
    assert harness.provider.uploaded == [body.replace(b"\r\n\r\nm\r\n", f"\r\n\r\n{name}\r\n".encode())]
    assert harness.provider.sent[0].source.length == len(harness.provider.uploaded[0])


@pytest.mark.parametrize("name", ["m", "a-model-of-theirs"])
async def test_a_length_that_the_models_part_tells_of_itself_stays_true(name):
    harness = Harness(good(), channels=[channel("a", models=[ModelSpec("m", name)])])
    told = b"--b\r\ncontent-length: %d\r\n"
    body = file() + field("model", "m").replace(b"--b\r\n", told % 1) + field("language", "en") + END
    assert (await ask(harness, body)).status == 200
    renamed = field("model", name).replace(b"--b\r\n", told % len(name))
    assert harness.provider.uploaded == [file() + renamed + field("language", "en") + END]
    assert harness.provider.sent[0].source.length == len(harness.provider.uploaded[0])


async def test_a_form_is_forwarded_while_it_arrives():
    gate = asyncio.Event()
    harness = Harness(good())
    harness.provider.reads_uploads = False
    asking = asyncio.create_task(ask(harness, [FORM[:100], gate, FORM[100:]]))
    while not harness.provider.sent:
        await asyncio.sleep(0)
    assert not gate.is_set()
    gate.set()
    assert (await asking).status == 200


async def test_a_form_of_unknown_length_is_forwarded_once_it_is_here():
    harness = Harness(good())
    answer = await ask(harness, [FORM[:50], FORM[50:]], headers={"content-length": ""})
    assert answer.status == 200
    assert harness.provider.uploaded == [FORM] and harness.provider.sent[0].source.length == len(FORM)


@pytest.mark.parametrize("fault", [status(500), status(429), Step(chunks=[b'{"cut'])])
async def test_another_try_gets_the_form_from_its_beginning(fault):
    harness = Harness(fault, good(), channels=[channel("a", priority=1), channel("b")])
    large = field("model", "m") + file(b"\x00\xff" * MEMORY_BYTES) + END
    harness.gateway.max_body_bytes = len(large)
    answer = await ask(harness, [large[:1000], large[1000:]])
    assert answer.status == 200 and answer.headers["x-routex-attempts"] == "2"
    assert harness.provider.uploaded == [large, large]


async def test_the_upstreams_429_keeps_its_wait():
    answer = await ask(Harness(status(429, retry_after="7")))
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_plain_text_passes_with_its_type():
    text = Step(chunks=[b"WEBVTT\n", b"\nhi"], headers=[(b"content-type", b"text/vtt"), (b"content-length", b"10")])
    answer = await ask(Harness(text))
    assert (answer.body, answer.headers["content-type"]) == (b"WEBVTT\n\nhi", "text/vtt")
    assert answer.headers["content-length"] == "10"


async def test_a_web_page_is_no_transcript():
    page = Step(chunks=[b"<html>"], headers=[(b"content-type", b"text/html")])
    answer = await ask(Harness(page, policy=PolicySpec(attempts=1)))
    assert answer.status == 502 and "web page" in answer.json["error"]["message"]


async def test_a_transcript_streams_when_the_form_says_so_last():
    harness = Harness(streamed(*EVENTS))
    answer = await ask(harness, field("model", "m") + file() + field("stream", "true") + END)
    assert answer.body == b"".join(EVENTS)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert harness.record.is_stream and harness.record.usage.output_tokens == 2


async def test_a_transcript_that_is_cut_ends_with_an_error_event():
    answer = await ask(Harness(streamed(EVENTS[0])))
    assert answer.body.startswith(EVENTS[0]) and b"event: error" in answer.body
    assert b"not complete" in answer.body


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"model": "m"}', "invalid_form", "does not begin with the boundary"),
        (field("language", "en") + file() + END, "invalid_value", "no `model` field"),
        (field("model", "") + END, "invalid_value", "must be the name of a model"),
        (field("model", "x" * 2000) + END, "invalid_value", "must be the name of a model"),
        (file(name="model") + END, "invalid_value", "as a plain field"),
        (field("model", "m") + field("model", "n") + END, "invalid_value", "twice"),
        (field("model", "m") + file(), "invalid_form", "no closing boundary"),
        (field("model", "m").replace(b"model", b"\xff"), "invalid_form", ""),
    ],
)
async def test_a_form_that_cannot_be_used_is_told_why(body, code, words):
    harness = Harness()
    harness.provider.reads_uploads = True
    answer = await ask(harness, body)
    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert words in answer.json["error"]["message"]
    assert harness.record.outcome in {"refused", "failed"}


async def test_another_type_of_body_is_refused():
    answer = await Harness().ask(b"{}", path=PATH, headers={"content-type": "application/json"})
    assert answer.status == 400 and "multipart/form-data" in answer.json["error"]["message"]


async def test_a_second_model_ends_a_form_that_is_already_forwarded():
    gate = asyncio.Event()
    harness = Harness(good())
    asking = asyncio.create_task(ask(harness, [field("model", "m") + file(), gate, field("model", "n") + END]))
    while not harness.provider.sent:
        await asyncio.sleep(0)
    gate.set()
    answer = await asking
    assert answer.status == 400 and "twice" in answer.json["error"]["message"]
    assert harness.provider.uploaded == [] and harness.tried() == [("a", "abandoned")]


@pytest.mark.parametrize("declared", [None, ""])
async def test_a_form_over_the_limit_is_refused(declared):
    harness = Harness()
    pieces = [field("model", "m"), *[b"x" * 4000] * 4]
    answer = await ask(harness, pieces, headers={} if declared is None else {"content-length": declared})
    assert answer.status == 413 and answer.json["error"]["code"] == "request_too_large"


async def test_a_client_that_leaves_in_the_middle_is_on_record():
    harness = Harness()
    harness.left.set()
    await ask(harness, field("model", "m"), is_body_whole=False)
    assert (harness.record.outcome, harness.record.status) == ("gone", 499)


async def test_an_unknown_caller_is_refused_before_the_form_is_read():
    answer = await ask(Harness(), [asyncio.Event()], headers={"authorization": ""})
    assert answer.status == 401


async def test_an_unknown_model_is_refused_before_the_file_is_here():
    answer = await ask(Harness(), [field("model", "nobody") + file()[:9], asyncio.Event(), file()[9:] + END])
    assert answer.status == 404 and answer.json["error"]["code"] == "model_not_found"


async def test_a_full_disk_is_told_as_one(monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("routing.engine.upload._write_at", full)
    harness = Harness(good())
    large = field("model", "m") + file(b"x" * MEMORY_BYTES) + END
    harness.gateway.max_body_bytes = len(large)
    answer = await ask(harness, large)
    assert answer.status == 503 and answer.json["error"]["code"] == "no_room"


async def test_memory_stays_flat_while_a_large_form_passes():
    upload = Upload(TYPE["content-type"].encode(), 200 * 2**20)
    await upload.take(field("model", "m") + file(b"")[:-2])
    source = aiter(await upload.source("their-m"))
    passed = 0
    tracemalloc.start()
    try:
        for _ in range(200):
            await upload.take(bytes(2**20))
            while passed < upload.size - 2**20:
                passed += len(await anext(source))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        upload.close()
    assert passed > 198 * 2**20
    assert peak < 4 * 2**20
