"""Every request leaves exactly one record that says how it ended, whatever its end."""

from __future__ import annotations

import socket

import pytest

from analytics.models import RequestRecord
from tests.journeys.processes import MB, eventually, open_raw
from tests.journeys.tenants import as_bytes, chat

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = [{"role": "user", "content": "one two three four five six"}]
CONTENTS = [{"role": "user", "parts": [{"text": "one two three four five six"}]}]

#: Case → path and body; MODEL is replaced in both.
ANSWERED = {
    "openai-chat": ("/v1/chat/completions", {"model": "MODEL", "messages": MESSAGES}),
    "openai-responses": ("/v1/responses", {"model": "MODEL", "input": MESSAGES}),
    "anthropic": ("/v1/messages", {"model": "MODEL", "messages": MESSAGES, "max_tokens": 99}),
    "gemini:generateContent": ("/v1beta/models/MODEL:generateContent", {"contents": CONTENTS}),
    "openai-embeddings": ("/v1/embeddings", {"model": "MODEL", "input": "a text"}),
    "openai-images": ("/v1/images/generations", {"model": "MODEL", "prompt": "a text"}),
    "openai-completions": ("/v1/completions", {"model": "MODEL", "prompt": "a text"}),
    "anthropic:count_tokens": ("/v1/messages/count_tokens", {"model": "MODEL", "messages": MESSAGES}),
}
STREAMED = {
    "openai-chat": ("/v1/chat/completions", {"model": "MODEL", "messages": MESSAGES, "stream": True}),
    "openai-responses": ("/v1/responses", {"model": "MODEL", "input": MESSAGES, "stream": True}),
    "anthropic": ("/v1/messages", {"model": "MODEL", "messages": MESSAGES, "max_tokens": 99, "stream": True}),
    "gemini:streamGenerateContent": (
        "/v1beta/models/MODEL:streamGenerateContent?alt=sse",
        {"contents": CONTENTS},
    ),
}


def filled(case, model):
    path, body = case
    return path.replace("MODEL", model), as_bytes(body).replace(b"MODEL", model.encode())


def record_of(customer, answer):
    """Return the one record of an answer, once it is there."""

    def found():
        with customer.scope():
            return list(RequestRecord.objects.filter(id=answer.headers["x-request-id"]))

    (record,) = eventually(found, "the record")
    return record


@pytest.mark.parametrize("operation", ANSWERED)
def test_a_whole_answer_is_recorded_with_its_facts(gateway, shopper, model, operation):
    path, body = filled(ANSWERED[operation], model)
    answer = gateway.ask(path, body, key=shopper.key, user_agent="journeys/1", x_client_request_id="mine-1")
    record = record_of(shopper, answer)
    assert (record.outcome, record.status, record.operation) == ("answered", 200, operation)
    assert (record.is_stream, record.error_code, record.error_message) == (False, "", "")
    provider = {"a": "anthropic", "g": "gemini"}.get(operation[0], "openai")
    assert (record.channel_slug, record.provider) == (f"{provider}-main", provider)
    assert record.asked_model == record.public_model == record.upstream_model == model
    assert (record.request_bytes, record.response_bytes) == (len(body), len(answer.body))
    assert (record.user_agent, record.client_request_id) == ("journeys/1", "mine-1")
    assert record.key_slug == "journeys" and record.tenant_id == shopper.id
    (tried,) = record.attempts
    assert tried["channel"] == f"{provider}-main" and tried["status"] == 200 and "reason" not in tried
    assert 0 < record.first_token_ms <= record.total_ms
    if operation == "anthropic:count_tokens":
        assert record.input_tokens is None
    else:
        assert record.input_tokens > 0


@pytest.mark.parametrize("operation", STREAMED)
def test_a_stream_is_recorded_with_its_usage_though_nobody_asked_for_it(gateway, shopper, model, operation):
    path, body = filled(STREAMED[operation], model)
    answer = gateway.ask(path, body, key=shopper.key)
    record = record_of(shopper, answer)
    assert (record.outcome, record.status, record.is_stream) == ("answered", 200, True)
    assert record.input_tokens == record.output_tokens == 7  # echo counts four characters as a token
    assert record.reported_model == model and record.response_bytes == len(answer.body)
    assert 0 < record.first_token_ms <= record.total_ms


REFUSED = {
    "unknown model": (chat("no-such-model"), 404, "model_not_found"),
    "no json": (b'{"model": "fake-1", "messages": [SECRET-OF-THE-BODY]}', 400, "invalid_json"),
    "no model": (b'{"messages": []}', 400, "invalid_value"),
    "too large": (b" " * (33 * MB), 413, "request_too_large"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_is_recorded_without_attempts(gateway, shopper, why):
    body, status, code = REFUSED[why]
    record = record_of(shopper, gateway.ask("/v1/chat/completions", body, key=shopper.key))
    assert (record.outcome, record.status, record.error_code, record.attempts) == ("refused", status, code, [])
    assert record.error_message and "SECRET" not in record.error_message


def test_a_failure_is_recorded_with_its_try(gateway, shopper, model):
    record = record_of(shopper, gateway.ask("/v1/chat/completions", chat(f"{model}+500"), key=shopper.key))
    assert (record.outcome, record.status, record.error_code) == ("failed", 502, "upstream_error")
    (tried,) = record.attempts
    assert (tried["status"], tried["reason"], tried["detail"]) == (500, "status", "HTTP 500")


def test_a_timeout_is_recorded_as_one(gateway, shopper):
    record = record_of(shopper, gateway.ask("/v1/chat/completions", chat("hasty-records+silent"), key=shopper.key))
    assert (record.outcome, record.status, record.error_code) == ("failed", 504, "upstream_timeout")
    assert [tried["reason"] for tried in record.attempts] == ["timeout"]


def test_a_rescue_is_recorded_with_both_tries(gateway, survivor):
    record = record_of(survivor, gateway.ask("/v1/chat/completions", chat("openai-rescue-529"), key=survivor.key))
    assert (record.outcome, record.status, record.channel_slug) == ("answered", 200, "openai-good")
    assert [(tried["channel"], tried["status"]) for tried in record.attempts] == [
        ("openai-bad", 529),
        ("openai-good", 200),
    ]
    assert (record.public_model, record.upstream_model) == ("openai-rescue-529", "rescued-529")


@pytest.mark.parametrize("fault", ["cut", "error", "stall"])
def test_a_broken_stream_is_recorded_as_cut(gateway, shopper, fault):
    answer = gateway.ask("/v1/chat/completions", chat(f"hasty-record-{fault}+{fault}", stream=True), key=shopper.key)
    record = record_of(shopper, answer)
    code = "upstream_timeout" if fault == "stall" else "upstream_error"
    assert (record.outcome, record.status, record.error_code) == ("cut", 200, code)
    assert record.response_bytes == len(answer.body)


#: Where the client leaves → the status that had been sent by then.
LEFT = {"silent": 499, "stall": 200, "endless": 200}


@pytest.mark.parametrize("fault", LEFT)
def test_a_client_that_leaves_frees_the_upstream_and_is_recorded_as_gone(
    gateway, upstream, shopper, records, model, fault
):
    asked = f"{model}+{fault}"
    with open_raw(gateway.port, "/v1/chat/completions", as_bytes(chat(asked, stream=True)), shopper.key) as client:
        if fault != "silent":
            assert b"200" in client.recv(4096)
        eventually(lambda: upstream.seen(asked), "the request is with the upstream")
        assert "disconnected" not in upstream.seen(asked)[0]
    eventually(lambda: upstream.seen(asked)[0].get("disconnected"), "the upstream sees the client leave", 5)
    (record,) = records(shopper, asked)
    assert (record.outcome, record.status) == ("gone", LEFT[fault])


def test_a_client_that_leaves_before_its_body_is_whole_is_recorded_as_gone(gateway, shopper):
    def gone():
        with shopper.scope():
            return RequestRecord.objects.filter(outcome="gone", user_agent="half-a-body").count()

    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shopper.key}\r\n"
        "user-agent: half-a-body\r\ncontent-length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as client:
        client.sendall(head.encode() + b'{"model"')
    # Daphne hands a request over once its body is whole, so there is nothing to record under it.
    if gateway.server == "uvicorn":
        eventually(gone, "the record")
    assert gateway.health["requests"]["in_flight"] == 0


def test_nothing_was_dropped_or_left_behind(gateway):
    state = eventually(lambda: gateway.health["records"]["waiting"] == 0 and gateway.health, "all is written")
    assert (state["records"]["dropped"], state["records"]["rejected"]) == (0, 0)
    assert state["requests"]["in_flight"] == 0
