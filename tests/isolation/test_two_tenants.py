"""Two tenants at once through one gateway: no answer, record, log line, message or key in the other's name."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import valkey
from django.conf import settings

from analytics.models import RequestRecord
from tests.journeys.processes import Answer, Gateway, Upstream, eventually
from tests.journeys.tenants import Customer, make_customer

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = 200
PROVIDERS = ("openai", "anthropic", "gemini")
#: Both tenants ask for the same names; some misbehave, so that errors and logs have something to tell.
MODELS = ("shared", "shared+401", "shared+500", "shared+cut", "shared+malformed", "nobody-has-this")


@dataclass(frozen=True)
class Asked:
    """One request, and what came back; `nonce` is in the request's text and so in its echo."""

    customer: Customer
    model: str
    is_stream: bool
    nonce: str
    answer: Answer


@pytest.fixture(scope="module")
def upstream():
    """An upstream that nobody else asks."""
    process = Upstream()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def tenants(cast, upstream, django_db_blocker):
    """Two tenants whose channels have the same models and slugs, and credentials of their own."""
    with django_db_blocker.unblock():
        made = [make_customer(slug, attempts=1, has_cooldown=False, breaker_failures=30_000) for slug in ("ash", "oak")]
        for customer in made:
            for provider in PROVIDERS:
                customer.add_channel(upstream, f"{provider}-of-{customer.slug}", provider, ["shared*"])
        return made


@pytest.fixture(scope="module")
def gateway(tenants, tmp_path_factory):
    """A gateway that nobody else asks."""
    process = Gateway(tmp_path_factory.mktemp("isolation"))
    yield process
    process.stop()


def request_of(provider: str, model: str, text: str, is_stream: bool) -> tuple[str, dict]:
    said = [{"role": "user", "content": text}]
    if provider == "openai":
        return "/v1/chat/completions", {"model": model, "messages": said, "stream": is_stream}
    if provider == "anthropic":
        return "/v1/messages", {"model": model, "messages": said, "stream": is_stream, "max_tokens": 99}
    verb = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def ask_all(gateway, tenants) -> list[Asked]:
    """Ask for both tenants in turn, from many threads, in an order that differs each time."""

    def one(number: int) -> Asked:
        customer = tenants[number % 2]
        model = MODELS[0] if number % 3 else random.choice(MODELS)
        is_stream = bool(number // 2 % 2)
        nonce = f"nonce-{customer.slug}-{number}-end"
        path, body = request_of(random.choice(PROVIDERS), model, f"say {nonce} now please", is_stream)
        return Asked(customer, model, is_stream, nonce, gateway.ask(path, body, key=customer.key))

    with ThreadPoolExecutor(24) as threads:
        return list(threads.map(one, range(REQUESTS)))


@pytest.fixture(scope="module")
def heard():
    """What is said on any channel of Valkey meanwhile."""
    client = valkey.Valkey.from_url(settings.REDIS_URL)
    feed = client.pubsub(ignore_subscribe_messages=True)
    feed.psubscribe("*")
    feed.get_message(timeout=1)
    messages: list[tuple[str, str]] = []

    def look() -> list[tuple[str, str]]:
        while message := feed.get_message(timeout=0.2):
            messages.append((message["channel"].decode(), message["data"].decode()))
        return messages

    yield look
    feed.close()
    client.close()


@pytest.fixture(scope="module")
def asked(gateway, tenants, heard):
    """All requests, answered."""
    return ask_all(gateway, tenants)


def other(tenants, customer):
    return tenants[1 - tenants.index(customer)]


def secrets_of(customer):
    return [customer.key, *customer.credentials.values()]


def rows_of(customer):
    with customer.scope():
        return list(RequestRecord.objects.all())


def recorded(tenants):
    return eventually(
        lambda: all(len(rows_of(customer)) == REQUESTS // 2 for customer in tenants), "a record of every request"
    )


def test_every_answer_is_the_tenants_own(asked, tenants):
    good = 0
    for one in asked:
        text, rival = one.answer.body.decode() + json.dumps(dict(one.answer.headers)), other(tenants, one.customer)
        assert f"-of-{rival.slug}" not in text and f"nonce-{rival.slug}" not in text and rival.id not in text
        channel = one.answer.headers.get("x-routex-channel")
        if one.model == "shared":
            assert one.answer.status == 200 and channel.endswith(f"-of-{one.customer.slug}")
            assert one.nonce in text
            good += 1
    assert good > REQUESTS / 2


def test_every_request_went_out_with_the_tenants_own_credential(asked, tenants, upstream):
    owner = {secret: customer.slug for customer in tenants for secret in customer.credentials.values()}
    lines = upstream.seen_all()
    assert len(lines) == sum(one.model != "nobody-has-this" for one in asked)
    for line in lines:
        assert f"nonce-{owner[line['secret']]}-" in json.dumps(line["body"])
        assert not any(customer.key in json.dumps(line) for customer in tenants), "a tenant's key left the gateway"


def test_every_record_is_in_the_tenants_own_name(asked, tenants):
    recorded(tenants)
    for customer in tenants:
        rows, rival = rows_of(customer), other(tenants, customer)
        mine = {one.answer.headers["x-request-id"] for one in asked if one.customer is customer}
        assert {row.id for row in rows} == mine
        for row in rows:
            assert row.tenant_id == customer.id
            assert row.channel_slug == "" or row.channel_slug.endswith(f"-of-{customer.slug}")
            told = json.dumps({name: str(value) for name, value in vars(row).items()})
            assert rival.id not in told and f"-of-{rival.slug}" not in told and "nonce-" not in told
            assert not any(secret in told for each in tenants for secret in secrets_of(each))


def test_no_error_tells_a_secret(asked, tenants):
    failed = [one for one in asked if one.answer.status >= 400]
    assert failed
    for one in failed:
        assert not any(secret in one.answer.body.decode() for each in tenants for secret in secrets_of(each))


def test_no_log_line_tells_a_secret_or_mixes_tenants(asked, gateway, tenants):
    recorded(tenants)
    for line in gateway.log.splitlines():
        assert not any(secret in line for customer in tenants for secret in secrets_of(customer)), line
        assert sum(customer.id in line or f"-of-{customer.slug}" in line for customer in tenants) < 2, line
        assert "nonce-" not in line, line


def test_what_is_said_and_kept_on_valkey_is_one_tenants_and_holds_no_secret(asked, tenants, heard):
    recorded(tenants)

    def said():
        messages = heard()
        return all(any(customer.id in channel for channel, _ in messages) for customer in tenants) and messages

    client = valkey.Valkey.from_url(settings.REDIS_URL)
    kept = [(key.decode("latin-1"), (client.dump(key) or b"").decode("latin-1")) for key in client.scan_iter()]
    client.close()
    for name, value in [*eventually(said, "each tenant's live rows"), *kept]:
        assert sum(each.id in name or each.id in value or f"-of-{each.slug}" in value for each in tenants) < 2, name
        assert not any(secret in value for each in tenants for secret in secrets_of(each)), name
        for customer in tenants:
            if customer.id in name:
                assert f"-of-{other(tenants, customer).slug}" not in value
