"""What the official clients make of our errors, heartbeats, arrays and listings, over an in-memory transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from routing.engine import errors
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, stream

MESSAGE = "What happened. Why. What to do."
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def transport(status: int, headers: dict[str, str], chunks: list[bytes]) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, stream=Chunks(chunks))

    return httpx2.Client(transport=httpx2.MockTransport(answer))


class Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


def openai_client(client: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=client)


def anthropic_client(client: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url="http://gateway", max_retries=0, http_client=client)


def genai_client(client: httpx2.Client) -> genai.Client:
    options = genai_types.HttpOptions(
        base_url="http://gateway", httpx_client=client, retry_options=genai_types.HttpRetryOptions(attempts=1)
    )
    return genai.Client(api_key="k", http_options=options)


def refusing(name: str, error: errors.GatewayError) -> httpx2.Client:
    reply = FORMATS[name].error_reply(error, "req_1")
    headers = {"content-type": "application/json", "x-request-id": "req_1"}
    headers |= {key.decode(): value.decode() for key, value in reply.headers}
    return transport(reply.status, headers, [reply.body])


def streaming(name: str, chunks: list[bytes]) -> httpx2.Client:
    return transport(200, {"content-type": "text/event-stream", "x-request-id": "req_1", "request-id": "req_1"}, chunks)


def up_to(name: str, case: str, mark: bytes) -> bytes:
    body = stream(name, case)
    return body[: body.index(mark)]


def cut(name: str, case: str, mark: bytes) -> httpx2.Client:
    """Return a client whose stream breaks in the middle of the event that holds the mark."""
    reading = reader(name)
    passed = reading.feed(up_to(name, case, mark) + mark)
    return streaming(name, [passed, reading.error_event(errors.UpstreamFailed(MESSAGE), "req_1")])


OPENAI_CLASSES = [
    (errors.Unauthenticated, openai.AuthenticationError),
    (errors.Forbidden, openai.PermissionDeniedError),
    (errors.BadRequest, openai.BadRequestError),
    (errors.ModelNotFound, openai.NotFoundError),
    (errors.RateLimited, openai.RateLimitError),
    (errors.QuotaUsedUp, openai.RateLimitError),
    (errors.Overloaded, openai.InternalServerError),
    (errors.UpstreamFailed, openai.InternalServerError),
    (errors.UpstreamTimedOut, openai.InternalServerError),
    (errors.GatewayError, openai.InternalServerError),
]


@pytest.mark.parametrize(("kind", "raised"), OPENAI_CLASSES)
@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "openai-embeddings", "openai-images"])
def test_openai_raises_the_right_class(name, kind, raised):
    client = openai_client(refusing(name, kind(MESSAGE, param="model")))
    calls = {
        "openai-chat": lambda: client.chat.completions.create(**CHAT),
        "openai-responses": lambda: client.responses.create(model="m", input="x"),
        "openai-embeddings": lambda: client.embeddings.create(model="m", input="x"),
        "openai-images": lambda: client.images.generate(model="m", prompt="x"),
    }
    with pytest.raises(raised) as caught:
        calls[name]()
    assert MESSAGE in caught.value.message
    assert (caught.value.code, caught.value.param, caught.value.request_id) == (kind.code, "model", "req_1")


ANTHROPIC_CLASSES = [
    (errors.Unauthenticated, anthropic.AuthenticationError),
    (errors.Forbidden, anthropic.PermissionDeniedError),
    (errors.BadRequest, anthropic.BadRequestError),
    (errors.RequestTooLarge, anthropic.RequestTooLargeError),
    (errors.ModelNotFound, anthropic.NotFoundError),
    (errors.RateLimited, anthropic.RateLimitError),
    (errors.QuotaUsedUp, anthropic.PaymentRequiredError),
    (errors.Overloaded, anthropic.OverloadedError),
    (errors.Unavailable, anthropic.ServiceUnavailableError),
    (errors.UpstreamTimedOut, anthropic.GatewayTimeoutError),
    (errors.UpstreamFailed, anthropic.InternalServerError),
]


@pytest.mark.parametrize(("kind", "raised"), ANTHROPIC_CLASSES)
def test_anthropic_raises_the_right_class(kind, raised):
    client = anthropic_client(refusing("anthropic", kind(MESSAGE)))
    with pytest.raises(raised) as caught:
        client.messages.create(max_tokens=1, **CHAT)
    assert type(caught.value) is raised
    assert (caught.value.api_message, caught.value.request_id) == (MESSAGE, "req_1")


GENAI_CLASSES = [
    (errors.Unauthenticated, genai_errors.ClientError, "UNAUTHENTICATED"),
    (errors.BadRequest, genai_errors.ClientError, "INVALID_ARGUMENT"),
    (errors.ModelNotFound, genai_errors.ClientError, "NOT_FOUND"),
    (errors.RateLimited, genai_errors.ClientError, "RESOURCE_EXHAUSTED"),
    (errors.Overloaded, genai_errors.ServerError, "UNAVAILABLE"),
    (errors.UpstreamTimedOut, genai_errors.ServerError, "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(("kind", "raised", "status"), GENAI_CLASSES)
def test_genai_raises_the_right_class(kind, raised, status):
    client = genai_client(refusing("gemini", kind(MESSAGE)))
    with pytest.raises(raised) as caught:
        client.models.generate_content(model="m", contents="x")
    assert (caught.value.code, caught.value.status, caught.value.message) == (kind(MESSAGE).status, status, MESSAGE)
    assert "req_1" in str(caught.value.details)


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.RateLimited])
def test_clients_retry_only_when_told_to(kind):
    for should_retry, expected in ((False, 1), (True, 2)):
        seen = []
        reply = FORMATS["openai-chat"].error_reply(kind(MESSAGE, should_retry=should_retry, retry_after_s=0.001), "r")

        def answer(request, seen=seen, reply=reply):
            seen.append(request)
            return httpx2.Response(reply.status, headers=list(reply.headers), content=reply.body)

        client = openai_client(httpx2.Client(transport=httpx2.MockTransport(answer))).with_options(max_retries=1)
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(**CHAT)
        assert len(seen) == expected


def test_chat_that_breaks_raises_after_its_text():
    client = openai_client(cut("openai-chat", "text", b'"finish_reason":"stop"'))
    seen = []
    with pytest.raises(openai.APIError, match="What happened") as caught:
        for chunk in client.chat.completions.create(stream=True, **CHAT):
            seen.append(chunk.choices[0].delta.content)
    assert "".join(seen).startswith("Grüße")
    assert caught.value.code == "upstream_error"
    assert caught.value.body["request_id"] == "req_1"


def test_responses_that_break_hand_out_the_failed_response_in_both_ways_of_streaming():
    for mark in (b"response.output_text.done", b"response.created"):
        client = openai_client(cut("openai-responses", "text", mark))
        plain = list(client.responses.create(model="m", input="x", stream=True))[-1]
        client = openai_client(cut("openai-responses", "text", mark))
        with client.responses.stream(model="m", input="x") as streamed:
            gathered = list(streamed)[-1]
        for last in (plain, gathered):
            assert (last.type, last.response.status) == ("response.failed", "failed")
            assert last.response.error.message == MESSAGE and last.response.error.code == "server_error"
            assert last.response.error.reason == "upstream_error"


def test_image_stream_that_breaks_raises():
    client = openai_client(cut("openai-images", "partial", b"image_generation.completed"))
    with pytest.raises(openai.APIError, match="What happened"):
        list(client.images.generate(model="m", prompt="x", stream=True))


def test_messages_that_break_raise_the_api_error():
    client = anthropic_client(cut("anthropic", "text", b"message_delta"))
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(max_tokens=1, **CHAT) as events:
        events.until_done()
    assert (caught.value.type, caught.value.api_message) == ("api_error", MESSAGE)
    assert (caught.value.body["request_id"], caught.value.request_id) == ("req_1", "req_1")


def test_gemini_stream_that_breaks_raises():
    client = genai_client(cut("gemini", "text", b'"finishReason"'))
    with pytest.raises(genai_errors.ServerError) as caught:
        list(client.models.generate_content_stream(model="m", contents="x"))
    assert (caught.value.code, caught.value.status, caught.value.message) == (502, "UNAVAILABLE", MESSAGE)


def with_heartbeats(name: str, case: str) -> list[bytes]:
    """Return a recorded stream, event by event, with a heartbeat before and after each."""
    reading = reader(name)
    body = stream(name, case)
    passed = [reading.feed(body[at : at + 5]) for at in range(0, len(body), 5)]
    heartbeat = FORMATS[name].heartbeat
    return [heartbeat, *(piece for out in passed if out for piece in (out, heartbeat))]


def test_heartbeats_are_nothing_to_the_sdks():
    chunks = openai_client(streaming("openai-chat", with_heartbeats("openai-chat", "text")))
    text = [
        choice.delta.content or ""
        for chunk in chunks.chat.completions.create(stream=True, **CHAT)
        for choice in chunk.choices
    ]
    assert "".join(text).startswith("Grüße, 世界 line\u2028sep")
    events = openai_client(streaming("openai-responses", with_heartbeats("openai-responses", "text")))
    with events.responses.stream(model="m", input="x") as responses:
        assert responses.get_final_response().output_text == "Grüße\u2028世界"
    messages = anthropic_client(streaming("anthropic", with_heartbeats("anthropic", "thinking_tools_crlf")))
    with messages.messages.stream(max_tokens=1, **CHAT) as answer:
        assert answer.get_final_message().content[1].input == {"city": "Zürich"}
    contents = genai_client(streaming("gemini", with_heartbeats("gemini", "text")))
    parts = [chunk.text or "" for chunk in contents.models.generate_content_stream(model="m", contents="x")]
    assert "".join(parts) == "Grüße\u2028世界 🙂"


def test_chat_without_the_usage_chunk_is_whole():
    reading = reader("openai-chat", wants_usage=False)
    client = openai_client(streaming("openai-chat", [reading.feed(stream("openai-chat", "text"))]))
    chunks = list(client.chat.completions.create(stream=True, **CHAT))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]


def test_listings_are_read_by_their_sdks():
    def listing(name: str) -> httpx2.Client:
        body = FORMATS[name].model_list(["a/b", "c"], 1_790_000_000)
        return transport(200, {"content-type": "application/json"}, [body])

    assert [model.id for model in openai_client(listing("openai-chat")).models.list()] == ["a/b", "c"]
    assert [model.display_name for model in anthropic_client(listing("anthropic")).models.list()] == ["a/b", "c"]
    models = list(genai_client(listing("gemini")).models.list())
    assert [(model.name, model.display_name) for model in models] == [("models/a/b", "a/b"), ("models/c", "c")]
    assert "generateContent" in models[0].supported_actions
