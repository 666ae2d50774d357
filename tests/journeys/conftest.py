"""One gateway, one fake upstream and three customers for all journeys; the official clients, ready to use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as genai_types

from analytics.models import RequestRecord
from tests.conftest import Cast
from tests.journeys.processes import WAIT_S, Gateway, Upstream, eventually
from tests.journeys.tenants import RAW_FAULTS, Customer, make_customer

#: How long nothing may happen on the channel of `hasty-…` models.
HASTY_S = 0.4


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The fake upstream's process."""
    process = Upstream()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def shopper(cast: Cast, upstream: Upstream, django_db_blocker: Any) -> Customer:
    """A tenant with a channel for each provider, where a fault comes through as it is."""
    with django_db_blocker.unblock():
        customer = make_customer("shopper", **RAW_FAULTS)
        for provider in ("openai", "anthropic", "gemini"):
            customer.add_channel(upstream, f"{provider}-main", provider, ["fake-*", f"known-{provider}"])
            limits = {"first_byte_s": HASTY_S, "idle_s": HASTY_S}
            customer.add_channel(upstream, f"{provider}-hasty", provider, ["hasty-*"], **limits)
        customer.add_channel(upstream, "compatible", "openai-compatible", ["compat-*"])
        renamed = [{"name": "public-name", "upstream": "upstream-name"}]
        customer.add_channel(upstream, "renaming", "openai", renamed)
        customer.add_alias("smart", "known-openai")
        return customer


@pytest.fixture(scope="session")
def survivor(cast: Cast, upstream: Upstream, django_db_blocker: Any) -> Customer:
    """A tenant whose first channel for a model has the fault in the model's name, and whose second has none.

    `openai-rescue-429` stays with one provider; `openai-crossing-429` goes on to the next provider, so to another
    format.
    """
    faults = ["429", "500", "529", "cut", "early_error", "empty", "malformed", "html502", "silent"]
    with django_db_blocker.unblock():
        customer = make_customer("survivor", attempts=2, has_cooldown=False, breaker_failures=30_000)
        for before, provider in zip(("gemini", "openai", "anthropic"), ("openai", "anthropic", "gemini"), strict=True):
            names = [f"{provider}-rescue-", f"{provider}-crossing-"]
            bad = [{"name": f"{name}{fault}", "upstream": f"rescue+{fault}"} for name in names for fault in faults]
            names = [f"{provider}-rescue-", f"{before}-crossing-"]
            good = [{"name": f"{name}{fault}", "upstream": f"rescued-{fault}"} for name in names for fault in faults]
            customer.add_channel(upstream, f"{provider}-bad", provider, bad, priority=10, first_byte_s=HASTY_S)
            customer.add_channel(upstream, f"{provider}-good", provider, good, priority=1)
        return customer


@pytest.fixture(scope="session")
def gateway(shopper: Customer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway's process; at its end, nothing may have failed inside it."""
    process = Gateway(tmp_path_factory.mktemp("gateway"))
    yield process
    process.stop()
    assert "failed inside Routex" not in process.log and "Traceback" not in process.log, process.log


_numbers = itertools.count(1)


@pytest.fixture
def model() -> str:
    """A model name of the test's own, so that what the upstream saw and sent can be found again."""
    return f"fake-{next(_numbers)}"


@pytest.fixture
def records(django_db_blocker: Any) -> Callable[..., list[RequestRecord]]:
    """Return a look at the request log, in the tenant's scope, that waits for so many records of a model."""

    def look(customer: Customer, asked_model: str, count: int = 1) -> list[RequestRecord]:
        def found() -> list[RequestRecord]:
            with customer.scope():
                rows = RequestRecord.objects.filter(asked_model=asked_model).order_by("started_at")
                return list(rows) if len(rows) >= count else []

        with django_db_blocker.unblock():
            rows = eventually(found, f"{count} record(s) of {asked_model}", WAIT_S)
        assert len(rows) == count, rows
        return rows

    return look


@pytest.fixture
def openai_client(gateway: Gateway, shopper: Customer) -> Iterator[openai.OpenAI]:
    """OpenAI's client, without retries."""
    with openai.OpenAI(api_key=shopper.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(gateway: Gateway, shopper: Customer) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client, without retries."""
    with anthropic.Anthropic(api_key=shopper.key, base_url=gateway.url, max_retries=0) as client:
        yield client


@pytest.fixture
def genai_client(gateway: Gateway, shopper: Customer) -> Iterator[genai.Client]:
    """Google's client, without retries."""
    once = genai_types.HttpRetryOptions(attempts=1)
    options = genai_types.HttpOptions(base_url=gateway.url, retry_options=once)
    client = genai.Client(api_key=shopper.key, http_options=options)
    yield client
    client.close()
