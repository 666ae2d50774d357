"""The official clients and every row of the catalogue: the class they raise, how often they try, how long they wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from channels_app.engine.provider import UpstreamRequest, UpstreamResponse
from routing.engine.catalogue import CATALOGUE, MAX_WAIT_S, ROWS, Row
from routing.engine.errors import GatewayError, RateLimited
from routing.engine.snapshot import PolicySpec
from tests.routing.engine.cast import channel
from tests.routing.engine.dialects import DIALECTS
from tests.routing.engine.harness import KEY, Harness, Scripted, Step, status

pytestmark = pytest.mark.asyncio
MESSAGE = "What happened. Why. What to do."
MESSAGES: Any = [{"role": "user", "content": "x"}]
CLIENTS = ("openai-chat", "openai-responses", "anthropic", "gemini")

#: Status → what the packages raise; their classes for everything else follow.
OPENAI = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}
ANTHROPIC = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    503: anthropic.ServiceUnavailableError,
    504: anthropic.GatewayTimeoutError,
    529: anthropic.OverloadedError,
}


def raised_by(name: str, row: Row) -> type[Exception]:
    """Return the class that a package raises for a row."""
    if name == "gemini":
        return genai_errors.ClientError if row.status < 500 else genai_errors.ServerError
    if name == "anthropic":
        status = {"quota": 402, "overloaded": 529}.get(row.kind, row.status)
        return ANTHROPIC.get(status, anthropic.InternalServerError if status >= 500 else anthropic.APIStatusError)
    return OPENAI.get(row.status, openai.InternalServerError if row.status >= 500 else openai.APIStatusError)


class Door:
    """A gateway that the clients reach in memory; it counts what reaches it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.tries = 0
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(self), base_url="http://gateway")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tries += 1
        await self.harness.app(scope, receive, send)

    async def ask(self, name: str) -> Any:
        """Ask with the package of a format, as it comes out of the box."""
        if name == "anthropic":
            client = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=self.http)
            return await client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
        if name == "gemini":
            options = genai_types.HttpOptions(base_url="http://gateway", httpx_async_client=self.http)
            return await genai.Client(api_key=KEY, http_options=options).aio.models.generate_content(
                model="m", contents="x"
            )
        sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=self.http)
        if name == "openai-responses":
            return await sdk.responses.create(model="m", input="x")
        return await sdk.chat.completions.create(model="m", messages=MESSAGES)


def refusing(error: GatewayError) -> Door:
    """Return a gateway that meets this error in the middle of every request."""
    harness = Harness()

    def snapshot(tenant_id: str) -> Any:
        raise error

    harness.configuration.snapshot = snapshot  # type: ignore[method-assign]
    return Door(harness)


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """What the clients would have waited, in seconds."""
    found: list[float] = []

    async def note(wait_s: float) -> None:
        found.append(wait_s)

    monkeypatch.setattr(anyio, "sleep", note)
    return found


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
async def test_every_row_is_the_right_class_after_the_right_number_of_tries(waits, name, row):
    door = refusing(GatewayError(MESSAGE, code=row.code))
    with pytest.raises(raised_by(name, row)) as caught:
        await door.ask(name)
    assert MESSAGE in str(caught.value)
    # Google's package tries again only where its user says so.
    assert door.tries == (3 if row.should_retry and name != "gemini" else 1)
    assert waits == [row.retry_after_s] * (door.tries - 1)
    if name == "gemini":
        assert caught.value.code == row.status and row.code in json.dumps(caught.value.details)
        return
    assert caught.value.request_id.startswith("req_")
    if name != "anthropic":
        assert caught.value.code == (None if row.code == "upstream_refused" else row.code)


@pytest.mark.parametrize("name", ["openai-chat", "anthropic"])
async def test_clients_do_not_sit_through_a_long_wait(waits, name):
    door = refusing(RateLimited(MESSAGE, retry_after_s=MAX_WAIT_S + 1))
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)) as caught:
        await door.ask(name)
    assert (door.tries, waits) == (1, [])
    assert caught.value.response.headers["retry-after"] == "121"


@pytest.mark.parametrize("name", ["openai-chat", "anthropic"])
@pytest.mark.parametrize(("channels", "tries"), [(1, 3), (2, 1)])
async def test_clients_try_again_unless_several_channels_have_failed(monkeypatch, waits, name, channels, tries):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)
    made = [channel(f"c{number}") for number in range(channels)]
    harness = Harness(*[status(500)] * 20, channels=made, policy=PolicySpec(breaker_failures=1000))
    door = Door(harness)
    with pytest.raises((openai.InternalServerError, anthropic.InternalServerError), match="failed on all 3 tries"):
        await door.ask(name)
    assert door.tries == tries and waits == [5.0] * (tries - 1)


class Limited(Scripted):
    """Takes one request in each window; says truly how long the window still is."""

    window_s = 0.04

    def __init__(self) -> None:
        super().__init__()
        self.free_at_s = 0.0
        self.good = b""

    async def send(self, request: UpstreamRequest, upstreams: Any) -> UpstreamResponse:
        left_s = self.free_at_s - time.monotonic()
        if left_s <= 0:
            self.free_at_s = time.monotonic() + self.window_s
            return self._response(Step(chunks=[self.good]))
        wait = str(int(left_s * 1000) + 1).encode()
        head = [(b"content-type", b"application/json"), (b"retry-after-ms", wait)]
        return self._response(Step(429, [b'{"error":{"message":"slow down"}}'], head))

    def _response(self, step: Step) -> UpstreamResponse:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in step.chunks:
                yield chunk

        async def close() -> None:
            return

        return UpstreamResponse(step.status, step.headers, chunks(), close)


@pytest.mark.parametrize("name", CLIENTS[:3])
async def test_whoever_waits_as_told_succeeds(name):
    harness = Harness()
    limited = Limited()
    limited.good = DIALECTS[name].good().chunks[0]
    for known in harness.configuration.built.channels.values():
        object.__setattr__(known, "provider", limited)
    harness.gateway.clock = time.monotonic
    door = Door(harness)
    asked, succeeded = 40, 0
    for _ in range(asked):
        try:
            await door.ask(name)
            succeeded += 1
        except (openai.APIStatusError, anthropic.APIStatusError):
            await asyncio.sleep(limited.window_s)
    assert succeeded >= 0.95 * asked
    assert door.tries > asked, "nobody was ever told to wait"


async def test_the_rows_that_clients_may_repeat_are_those_that_pass_by_themselves():
    assert {code for code, row in CATALOGUE.items() if row.should_retry} == {
        *("request_timeout", "rate_limit_exceeded", "concurrency_limit_exceeded"),
        *("quota_reserved", "limits_unavailable", "ledger_away"),
        *("server_is_overloaded", "overloaded", "upstream_error", "upstream_timeout", "timeout"),
        *("starting_up", "shutting_down", "no_room"),
    }
