"""What Routex itself refuses, as the official clients raise it: the right class, our words, the request id, one try."""

from __future__ import annotations

import socket

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from tenants.context import platform_scope
from tenants.engine import keys
from tenants.models import GatewayKey
from tenants.services import key_revoke, tenant_update
from tests.journeys.processes import MB, eventually
from tests.journeys.tenants import chat, make_customer

MESSAGES = [{"role": "user", "content": "x"}]
FOREIGN = "sk-ant-api03-" + "a" * 80


class Tries:
    """Counts what an official client really sends."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def client(self) -> httpx2.Client:
        return httpx2.Client(event_hooks={"request": [lambda request: self.urls.append(str(request.url))]}, timeout=30)


def ask_openai(gateway, key, model, client=None):
    with openai.OpenAI(api_key=key, base_url=f"{gateway.url}/v1", http_client=client) as sdk:
        sdk.chat.completions.create(model=model, messages=MESSAGES)


def ask_anthropic(gateway, key, model, client=None):
    with anthropic.Anthropic(api_key=key, base_url=gateway.url, http_client=client) as sdk:
        sdk.messages.create(model=model, max_tokens=9, messages=MESSAGES)


def ask_genai(gateway, key, model, client=None):
    sdk = genai.Client(api_key=key, http_options=genai_types.HttpOptions(base_url=gateway.url, httpx_client=client))
    sdk.models.generate_content(model=model, contents="x")


ASK = {"openai": ask_openai, "anthropic": ask_anthropic, "genai": ask_genai}
CLASSES = {
    401: {"openai": openai.AuthenticationError, "anthropic": anthropic.AuthenticationError},
    403: {"openai": openai.PermissionDeniedError, "anthropic": anthropic.PermissionDeniedError},
    404: {"openai": openai.NotFoundError, "anthropic": anthropic.NotFoundError},
    413: {"openai": openai.APIStatusError, "anthropic": anthropic.RequestTooLargeError},
}


def wait_for(gateway, key, status):
    eventually(lambda: gateway.ask("/v1/models", key=key).status == status, f"status {status}")


@pytest.fixture(params=["openai", "anthropic", "genai"])
def sdk(request):
    """Each of the official packages."""
    return request.param


def refused(gateway, sdk, status, key, model):
    """Return the text of the exception that the package raised after exactly one try."""
    tries = Tries()
    with pytest.raises(CLASSES[status].get(sdk, genai_errors.ClientError)) as caught:
        ASK[sdk](gateway, key, model, tries.client())
    assert len(tries.urls) == 1, "the client tried again although it cannot help"
    error = caught.value
    assert (error.code if sdk == "genai" else error.status_code) == status
    if sdk != "genai":
        assert error.request_id.startswith("req_")
    return str(error)


def test_a_key_of_another_company_is_named(gateway, sdk):
    text = refused(gateway, sdk, 401, FOREIGN, "fake-1")
    assert "Routex needs its own key" in text and FOREIGN not in text


def test_a_key_that_was_cut_is_named(gateway, shopper, sdk):
    assert "not a complete Routex key" in refused(gateway, sdk, 401, shopper.key[:-3], "fake-1")


def test_a_well_formed_key_that_nobody_issued_is_unknown(gateway, sdk):
    assert "Unknown API key" in refused(gateway, sdk, 401, keys.mint(), "fake-1")


def test_an_unknown_model_is_not_found_and_a_close_one_is_named(gateway, shopper, sdk):
    known = {"genai": "known-gemini"}.get(sdk, f"known-{sdk}")
    text = refused(gateway, sdk, 404, shopper.key, known.replace("known", "knowm"))
    assert f"Did you mean `{known}`?" in text


@pytest.mark.django_db(transaction=True)
def test_a_key_with_an_allow_list_may_use_nothing_else(gateway, shopper, sdk):
    key = shopper.issue_key(f"narrow-{sdk}", allowed_models=["known-*"])
    wait_for(gateway, key, 200)
    text = refused(gateway, sdk, 403, key, "fake-1")
    assert f"Key `narrow-{sdk}` may not use `fake-1`. Allowed: known-*." in text


@pytest.mark.django_db(transaction=True)
def test_a_suspended_tenant_is_told_why(gateway, sdk):
    customer = make_customer(f"late-{sdk}")
    wait_for(gateway, customer.key, 200)
    with platform_scope():
        tenant_update(tenant=customer.tenant, state="suspended", suspended_reason="the bill is open")
    wait_for(gateway, customer.key, 403)
    assert "is suspended: the bill is open" in refused(gateway, sdk, 403, customer.key, "fake-1")


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_refused_and_a_new_one_taken(gateway, shopper):
    key = shopper.issue_key("short-lived")
    wait_for(gateway, key, 200)
    with shopper.scope():
        key_revoke(key=GatewayKey.objects.get(slug="short-lived"))
    wait_for(gateway, key, 401)
    assert "is revoked" in gateway.ask("/v1/models", key=key).json["error"]["message"]


def test_no_key_at_all_is_missing(gateway):
    answer = gateway.ask("/v1/chat/completions", chat("fake-1"))
    assert (answer.status, answer.json["error"]["code"]) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/chat/completions", b'{"model": "fake-1", "messages": [}', "line 1"),
        ("/v1/messages", b'{"model": "fake-1",\n "messages": [}', "line 2"),
        ("/v1beta/models/fake-1:generateContent", b"{nope", "line 1"),
        ("/v1/chat/completions", b'{"messages": []}', "model"),
        ("/v1/chat/completions", b'{"model": "fake-1", "input": "x"}', "/v1/responses"),
        ("/v1/chat/completions", b'{"model": "fake-1", "contents": []}', "v1beta"),
        ("/v1/chat/completions", b"", "empty"),
    ],
)
def test_a_body_that_cannot_be_meant_is_answered_with_what_to_change(gateway, shopper, path, body, words):
    answer = gateway.ask(path, body, key=shopper.key)
    assert answer.status == 400
    assert words in answer.body.decode()
    assert answer.headers["x-should-retry"] == "false"


def test_wrong_paths_and_methods_are_told_apart(gateway, shopper):
    missing = gateway.ask("/v1/chat/completion", chat("fake-1"), key=shopper.key)
    assert missing.status == 404 and "Did you mean /v1/chat/completions?" in missing.json["error"]["message"]
    wrong = gateway.ask("/v1/chat/completions", key=shopper.key, method="GET")
    assert wrong.status == 405 and "takes POST" in wrong.json["error"]["message"]


def test_a_body_of_50_mb_is_refused_and_never_held(gateway, shopper, upstream, model, sdk):
    big = "x" * (50 * MB)
    before = gateway.rss_bytes
    with pytest.raises(CLASSES[413].get(sdk, genai_errors.ClientError)) as caught:
        if sdk == "openai":
            with openai.OpenAI(api_key=shopper.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": big}])
        elif sdk == "anthropic":
            with anthropic.Anthropic(api_key=shopper.key, base_url=gateway.url, max_retries=0) as client:
                client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": big}])
        else:
            options = genai_types.HttpOptions(base_url=gateway.url)
            client = genai.Client(api_key=shopper.key, http_options=options)
            client.models.generate_content(model=model, contents=big)
    assert "Body is 50.0 MB or more; the limit is 32 MB." in str(caught.value)
    assert (caught.value.code if sdk == "genai" else caught.value.status_code) == 413
    assert gateway.rss_bytes - before < 12 * MB
    assert upstream.seen(model) == []


def test_a_body_without_a_length_is_refused_once_it_passes_the_limit(gateway, shopper):
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shopper.key}\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    piece = b"%x\r\n%s\r\n" % (MB, b" " * MB)
    with socket.create_connection(("127.0.0.1", gateway.port), 15) as sock:
        sock.sendall(head.encode())
        for _ in range(34):
            sock.sendall(piece)
        sock.sendall(b"0\r\n\r\n")
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413"), answer
    assert b"request_too_large" in answer and b"the limit is 32 MB" in answer
