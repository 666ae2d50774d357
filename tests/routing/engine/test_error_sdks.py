"""The official clients and every row of the catalogue: the class they raise, how often they try, how long they wait."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from routing.engine.catalogue import CATALOGUE, MAX_WAIT_S, ROWS, Row
from routing.engine.document import PolicySpec
from routing.engine.errors import GatewayError, RateLimited
from tenants.engine.limits import LimitSpec
from tests.routing.engine.cast import channel
from tests.routing.engine.dialects import DIALECTS
from tests.routing.engine.harness import KEY, Harness, status

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


#: How each algorithm is made to say no to the third of three requests at once, and to tell a wait.
LIMITS: dict[str, dict[str, Any]] = {
    "sliding window": {},
    "token bucket": {"algorithm": "token_bucket"},
    "leaky bucket": {"algorithm": "leaky_bucket", "options": {"queue": 0}},
    "warm up": {"algorithm": "warm_up"},
    "adaptive": {"algorithm": "adaptive", "options": {"burst": 2}},
    "tokens": {"kind": "tokens", "limit": 40},
    "requests at once": {"kind": "concurrency", "limit": 1},
}


class Waiting:
    """Official clients at a gateway with one limit; time passes only while somebody waits as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, limit: dict[str, Any]) -> None:
        self.spec = LimitSpec(**({"id": "lim_1", "limit": 2, "window_s": 60} | limit))
        self.harness = Harness(limits=(self.spec,))
        self.harness.provider.steps = [DIALECTS[name].good() for _ in range(100)]
        self.harness.provider.endpoints = DIALECTS[name].endpoints(is_translated=False)  # type: ignore[misc]
        self.name, self.door, self.waits = name, Door(self.harness), [0.0]
        monkeypatch.setattr(anyio, "sleep", self.wait)

    async def wait(self, wait_s: float) -> None:
        """Let time pass; whoever held the place of a request at once is done with it meanwhile."""
        self.waits.append(wait_s)
        self.harness.now_s += wait_s
        if self.spec.kind == "concurrency":
            self.harness.gateway.limits.account("ten_1", self.spec).give_back(1)

    async def ask(self) -> bool:
        """Ask once and return whether there was an answer; Google's package leaves it to its user to wait."""
        if self.spec.kind == "concurrency":
            await self.harness.gateway.limits.account("ten_1", self.spec).take(1, ("ten_1", "key_1"))
        for is_last in (False, True):
            try:
                await self.door.ask(self.name)
            except genai_errors.ClientError as refused:
                if is_last or refused.code != 429:
                    return False
                delay = next(each["retryDelay"] for each in refused.details["error"]["details"] if "retryDelay" in each)
                await self.wait(float(delay.removesuffix("s")))
            except (openai.APIStatusError, anthropic.APIStatusError):
                return False
            else:
                return True
        return False


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_whoever_waits_as_told_succeeds(monkeypatch, name, limit):
    waiting = Waiting(monkeypatch, name, limit)
    assert [await waiting.ask() for _ in range(40)] == [True] * 40
    told = waiting.waits[1:]
    assert len(told) >= 4, "hardly anybody was ever told to wait"
    # One wait is enough, and none is longer than the window.
    assert waiting.door.tries == 40 + len(told)
    assert min(told) > 0 and max(told) <= waiting.spec.window_s + 1


async def test_the_rows_that_clients_may_repeat_are_those_that_pass_by_themselves():
    assert {code for code, row in CATALOGUE.items() if row.should_retry} == {
        *("request_timeout", "rate_limit_exceeded", "concurrency_limit_exceeded"),
        *("quota_reserved", "limits_unavailable", "ledger_away"),
        *("server_is_overloaded", "overloaded", "upstream_error", "upstream_timeout", "timeout"),
        *("starting_up", "shutting_down", "no_room"),
    }
