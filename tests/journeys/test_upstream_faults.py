"""What becomes of an upstream's faults: the right exception class, a rescue by the next channel, never a clean end."""

from __future__ import annotations

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from tests.journeys.tenants import chat

TEXT = "one two three four five six"
MESSAGES = [{"role": "user", "content": TEXT}]
#: The format that a client speaks, and the provider whose own format it is.
FORMATS = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}


class Clients:
    """One tenant's official clients, one try each, behind one pair of calls."""

    def __init__(self, gateway, customer):
        self.openai = openai.OpenAI(api_key=customer.key, base_url=f"{gateway.url}/v1", max_retries=0)
        self.anthropic = anthropic.Anthropic(api_key=customer.key, base_url=gateway.url, max_retries=0)
        once = genai_types.HttpRetryOptions(attempts=1)
        options = genai_types.HttpOptions(base_url=gateway.url, retry_options=once)
        self.genai = genai.Client(api_key=customer.key, http_options=options)

    def whole(self, name, model):
        """Return the text of a whole answer."""
        if name == "chat":
            return self.openai.chat.completions.create(model=model, messages=MESSAGES).choices[0].message.content
        if name == "responses":
            return self.openai.responses.create(model=model, input=TEXT).output_text
        if name == "messages":
            return self.anthropic.messages.create(model=model, max_tokens=99, messages=MESSAGES).content[0].text
        return self.genai.models.generate_content(model=model, contents=TEXT).text

    def stream(self, name, model, words):
        """Read a stream and append each word to `words`, so that a caller sees what came before an exception."""
        if name == "chat":
            for chunk in self.openai.chat.completions.create(model=model, messages=MESSAGES, stream=True):
                words += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        elif name == "responses":
            for event in self.openai.responses.create(model=model, input=TEXT, stream=True):
                words += [event.delta] if event.type == "response.output_text.delta" else []
                # To the package both are events, no exceptions.
                if event.type in {"error", "response.failed"}:
                    said = event if event.type == "error" else event.response.error
                    raise openai.APIError(said.message, httpx2.Request("POST", "/v1/responses"), body=None)
        elif name == "messages":
            with self.anthropic.messages.stream(model=model, max_tokens=99, messages=MESSAGES) as stream:
                for word in stream.text_stream:
                    words.append(word)
        else:
            for chunk in self.genai.models.generate_content_stream(model=model, contents=TEXT):
                words += [chunk.text] if chunk.text else []

    def close(self):
        self.openai.close()
        self.anthropic.close()
        self.genai.close()


@pytest.fixture
def clients(gateway, shopper):
    """The clients of the tenant that sees faults raw."""
    made = Clients(gateway, shopper)
    yield made
    made.close()


@pytest.fixture
def rescued(gateway, survivor):
    """The clients of the tenant that has a second channel for everything."""
    made = Clients(gateway, survivor)
    yield made
    made.close()


def status_of(error):
    return error.code if isinstance(error, genai_errors.APIError) else error.status_code


#: Fault → the status that the client sees, and words that it must be told.
TOLD = {
    "400": (400, "upstream says 400"),
    "401": (502, "rejected its own credentials (401)"),
    "404": (404, "upstream says 404"),
    "429": (429, "upstream says 429"),
    "500": (502, "HTTP 500"),
    "529": (529, "upstream says 529"),
    "malformed": (502, "not what the format promises"),
    "html502": (502, "HTTP 502"),
    "redirect": (502, "HTTP 302"),
    "cut": (502, "broke off its answer"),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fault", TOLD)
def test_a_fault_of_a_whole_answer_has_its_status_and_says_what_happened(clients, model, name, fault):
    status, words = TOLD[fault]
    kinds = (openai.APIStatusError, anthropic.APIStatusError, genai_errors.APIError)
    with pytest.raises(kinds) as caught:
        clients.whole(name, f"{model}+{fault}")
    assert words in str(caught.value)
    assert status_of(caught.value) == status


def test_faults_are_the_exception_classes_that_programs_catch(clients, model):
    expected = [
        ("chat", "429", openai.RateLimitError),
        ("chat", "500", openai.InternalServerError),
        ("chat", "400", openai.BadRequestError),
        ("messages", "429", anthropic.RateLimitError),
        ("messages", "529", anthropic.OverloadedError),
        ("messages", "400", anthropic.BadRequestError),
        ("gemini", "429", genai_errors.ClientError),
        ("gemini", "500", genai_errors.ServerError),
    ]
    for name, fault, kind in expected:
        with pytest.raises(kind):
            clients.whole(name, f"{model}+{fault}")


def test_an_upstreams_retry_after_is_passed_on(gateway, shopper, model):
    answer = gateway.ask("/v1/chat/completions", chat(f"{model}+429"), key=shopper.key)
    assert (answer.status, answer.headers["retry-after"], answer.headers["retry-after-ms"]) == (429, "3", "3000")
    assert answer.headers["x-routex-attempts"] == "1"


def test_a_client_tries_a_429_three_times(gateway, shopper, upstream, model):
    urls = []
    client = httpx2.Client(event_hooks={"request": [lambda request: urls.append(request.url)]})
    sdk = openai.OpenAI(api_key=shopper.key, base_url=f"{gateway.url}/v1", http_client=client)
    with sdk, pytest.raises(openai.RateLimitError):
        sdk.chat.completions.create(model=f"{model}+429soon", messages=MESSAGES)
    assert len(urls) == len(upstream.seen(f"{model}+429soon")) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_an_upstream_that_never_answers_is_a_timeout(clients, name):
    with pytest.raises((openai.InternalServerError, anthropic.APIStatusError, genai_errors.ServerError)) as caught:
        clients.whole(name, "hasty-1+silent")
    assert status_of(caught.value) == 504
    assert "no first byte within 0.4 s" in str(caught.value)


#: Fault after some words → what the client is told.
BROKEN = {
    "cut": "closed the stream before its end",
    "empty": "closed the stream before its end",
    "stall": "fell silent",
    "error": "busy",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_stream_that_breaks_delivers_its_words_and_then_raises(clients, name, fault):
    words = []
    with pytest.raises((openai.APIError, anthropic.APIError, genai_errors.APIError)) as caught:
        clients.stream(name, f"hasty-{fault}+{fault}", words)
    assert BROKEN[fault] in str(caught.value)
    assert words and TEXT.startswith("".join(words))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fault", ["429", "500", "529", "html502", "malformed", "cut", "silent"])
def test_the_next_channel_rescues_a_whole_answer(rescued, upstream, name, fault):
    assert rescued.whole(name, f"{FORMATS[name]}-rescue-{fault}") == TEXT
    assert upstream.seen(f"rescue+{fault}") and upstream.seen(f"rescued-{fault}")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fault", ["429", "500", "529", "html502", "malformed", "early_error", "silent"])
def test_the_next_channel_rescues_a_stream_that_has_not_begun(rescued, name, fault):
    words = []
    rescued.stream(name, f"{FORMATS[name]}-rescue-{fault}", words)
    assert "".join(words) == TEXT


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("fault", ["429", "cut", "early_error"])
def test_a_channel_of_another_format_rescues_what_has_not_begun(rescued, name, provider, fault):
    model, words = f"{provider}-crossing-{fault}", []
    if fault == "cut":
        assert rescued.whole(name, model) == TEXT
    else:
        rescued.stream(name, model, words)
        assert "".join(words) == TEXT


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_that_has_begun_is_not_begun_again(rescued, upstream, name):
    before = len(upstream.seen("rescued-cut"))
    words = []
    with pytest.raises((openai.APIError, anthropic.APIError, genai_errors.APIError)):
        rescued.stream(name, f"{FORMATS[name]}-rescue-cut", words)
    assert words and len(upstream.seen("rescued-cut")) == before


def test_a_redirect_is_not_followed(gateway, shopper, upstream, model):
    answer = gateway.ask("/v1/chat/completions", chat(f"{model}+redirect"), key=shopper.key)
    assert answer.status == 502 and "location" not in answer.headers
    assert [line["path"] for line in upstream.seen(f"{model}+redirect")] == ["/v1/chat/completions"]


def test_a_stream_that_is_cut_has_no_sign_of_a_good_end(gateway, shopper, model):
    answer = gateway.ask("/v1/chat/completions", chat(f"{model}+cut", stream=True), key=shopper.key)
    assert answer.status == 200 and b"[DONE]" not in answer.body and b'"finish_reason":"stop"' not in answer.body
    assert answer.body.rstrip().rpartition(b"\n\n")[2].startswith(b'data: {"error":')
