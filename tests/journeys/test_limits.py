"""Limits as official clients meet them, over a real gateway: the right class, a true wait, and success after it."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest

from tenants.services import key_issue, limit_set
from tests.journeys.processes import eventually
from tests.journeys.tenants import Customer, chat

MESSAGES: list[Any] = [{"role": "user", "content": "x"}]


@pytest.fixture
def limited(shopper: Customer, gateway: Any, django_db_blocker: Any) -> Any:
    """Return a way to get a key with limits, which the running gateway comes to know in this order."""

    def make(*more: dict[str, Any], **limit: Any) -> str:
        with django_db_blocker.unblock(), shopper.scope():
            key, secret = key_issue(tenant_id=shopper.id, slug=f"k-{uuid4().hex[:8]}")
            for each in (limit, *more):
                limit_set(tenant_id=shopper.id, scope="key", scope_id=key.id, **each)
        return str(secret)

    return make


def test_openai_client_waits_as_told_and_succeeds(gateway, limited, model):
    secret = limited(kind="requests", limit=2, window_s=2)
    with openai.OpenAI(api_key=secret, base_url=f"{gateway.url}/v1", max_retries=0) as client:

        def ask() -> Any:
            return client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)

        def is_known() -> bool:
            with suppress(openai.AuthenticationError):
                return ask().headers.get("x-ratelimit-limit-requests") == "2"
            return False

        eventually(is_known, "the key with its limit")
        with pytest.raises(openai.RateLimitError) as refused:
            for _ in range(30):  # three, where nothing stalls for as long as the window
                ask()
        assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
        assert "Limit of 2 requests per 2 s for key" in str(refused.value)
        time.sleep(int(refused.value.response.headers["retry-after-ms"]) / 1000)
        assert ask().status_code == 200


def test_places_that_many_requests_give_back_at_once_cost_no_record(gateway, limited, model, shopper, records):
    secret = limited({"kind": "requests", "limit": 9999}, kind="concurrency", limit=8)
    body = chat(model)

    def ask(_: Any) -> Any:
        return gateway.ask("/v1/chat/completions", dict(body), key=secret)

    eventually(lambda: ask(None).headers.get("x-ratelimit-limit-requests") == "9999", "the key with its limits")
    before = len(records(shopper, model))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
    assert Counter(answer.status for answer in answers) == {200: 60}
    assert len(records(shopper, model, before + 60)) == before + 60


def test_request_that_can_never_pass_is_sent_once(gateway, limited, model):
    secret = limited(kind="tokens", limit=3, window_s=3600)
    with anthropic.Anthropic(api_key=secret, base_url=gateway.url, max_retries=5) as client:

        def refusal() -> anthropic.RateLimitError | None:
            try:
                client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "x y " * 99}])
            except anthropic.AuthenticationError:
                return None
            except anthropic.RateLimitError as error:
                return error
            return None

        refused = eventually(refusal, "the key with its limit")
        assert "too many for the limit of 3 tokens/h for key" in str(refused)
        assert refused.response.headers["anthropic-ratelimit-tokens-limit"] == "3"
