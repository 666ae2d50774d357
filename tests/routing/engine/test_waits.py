"""The wait that a refusal tells is the time until somebody is tried again, and the next request hears the same."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from channels_app.engine.errors import UpstreamRefused
from routing.engine.breaker import Breaker
from routing.engine.document import PolicySpec
from tenants.engine.limits import LimitSpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, status

pytestmark = pytest.mark.asyncio

NOW_S = 1_795_000_000
UNIFIED = b"anthropic-ratelimit-unified-"
ONE_TRY = PolicySpec(attempts=1)


def limited(code: int = 429, **headers: str) -> Step:
    found = status(code)
    found.headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return found


def keyless(*steps: Step, **fields: Any) -> Harness:
    harness = Harness(*steps, **fields)
    harness.provider.needs_credential = False
    return harness


def told(answer: Any) -> int:
    return int(answer.headers["retry-after"])


def window(name: bytes, after_s: int) -> list[tuple[bytes, bytes]]:
    reset = str(NOW_S + after_s).encode()
    return [(UNIFIED + name + b"-status", b"rejected"), (UNIFIED + name + b"-reset", reset)]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([], 5),
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after-ms", b"1500")], 2),
        ([(b"retry-after", formatdate(NOW_S + 50, usegmt=True).encode())], 50),
        ([(b"retry-after", b"3600")], 600),
        ([(b"retry-after", b"soon")], 5),
        ([(b"retry-after", b"-5")], 5),
        ([(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"1m30s")], 90),
        ([(b"retry-after", b"2"), *window(b"5h", 7200)], 7200),
        (window(b"7d", 500_000), 500_000),
        (window(b"5h", 900_000), 5 * 3600),
    ],
    ids=lambda value: value if isinstance(value, int) else "",
)
async def test_a_limited_request_is_told_how_long_the_credential_rests(monkeypatch, headers, wait_s):
    for module in ("verdicts", "sending"):
        frozen = SimpleNamespace(time=lambda: NOW_S, monotonic=time.monotonic)
        monkeypatch.setattr(f"routing.engine.{module}.time", frozen)
    step = status(429)
    step.headers += headers
    harness = Harness(step)
    first = await harness.ask()
    again = await harness.ask()
    assert (first.status, again.status) == (429, 503)
    assert told(first) == told(again) == wait_s
    assert first.headers["x-should-retry"] == again.headers["x-should-retry"] == str(wait_s <= 120).lower()
    assert len(harness.provider.sent) == 1
    harness.now_s += told(first)
    assert (await harness.ask()).status == 200


async def test_the_soonest_of_all_channels_counts_not_the_last_one():
    channels = [channel("a", priority=1), channel("b")]
    harness = Harness(limited(retry_after="2"), limited(retry_after="60"), channels=channels)
    first = await harness.ask()
    assert (first.status, told(first)) == (429, 2)
    assert told(await harness.ask()) == 2
    harness.now_s += 2
    assert (await harness.ask()).status == 200


async def test_the_soonest_of_a_channels_credentials_counts():
    steps = [limited(retry_after="90"), limited(retry_after="9")]
    harness = Harness(*steps, channels=[channel("a", credentials=("one", "two"))])
    assert [told(await harness.ask()) for _ in range(2)] == [9, 9]


async def test_a_credential_that_was_not_tried_may_be_tried_at_once():
    channels = [channel("a", credentials=("one", "two"))]
    harness = Harness(limited(retry_after="90"), channels=channels, policy=ONE_TRY)
    first = await harness.ask()
    assert (told(first), first.headers["x-should-retry"]) == (1, "true")
    assert (await harness.ask()).status == 200


async def test_without_cooldown_the_next_request_comes_to_the_same_channel_and_is_told_so():
    channels = [channel("a", priority=1), channel("b")]
    policy = PolicySpec(attempts=1, has_cooldown=False)
    harness = Harness(limited(retry_after="3"), limited(retry_after="3"), channels=channels, policy=policy)
    assert [told(await harness.ask()) for _ in range(2)] == [3, 3]
    assert {record.attempts[-1].channel for record in harness.records} == {"a"}


async def test_a_fallback_that_was_not_reached_may_be_tried_at_once():
    channels = [channel("a"), channel("b", models=("n",))]
    harness = Harness(limited(retry_after="90"), channels=channels, policy=ONE_TRY, fallbacks={"m": ("n",)})
    assert told(await harness.ask()) == 1
    assert (await harness.ask()).status == 200


async def test_a_channel_that_can_never_serve_it_shortens_no_wait():
    channels = [channel("a", credentials=(), priority=1), channel("b")]
    harness = Harness(limited(retry_after="30"), channels=channels)
    assert [told(await harness.ask()) for _ in range(2)] == [30, 30]


async def test_an_overloaded_upstream_is_told_with_the_wait_it_asked_for():
    harness = Harness(limited(529, retry_after="20"), policy=ONE_TRY)
    assert (answer := await harness.ask()).status == 529
    assert told(answer) == 20


async def test_what_opens_a_breaker_is_told_with_the_time_until_it_lets_a_request_through():
    policy = PolicySpec(attempts=1, breaker_failures=2, breaker_open_s=30)
    steps = [Step(error=UpstreamRefused("no connection")) for _ in range(2)]
    harness = Harness(*steps, policy=policy)
    assert [told(await harness.ask()) for _ in range(3)] == [5, 30, 30]
    harness.now_s += 30
    assert (await harness.ask()).status == 200


async def test_a_refused_credential_is_told_with_its_rest():
    harness = Harness(status(401))
    first = await harness.ask()
    assert (first.status, told(first), first.headers["x-should-retry"]) == (502, 60, "false")
    assert told(await harness.ask()) == 60


async def test_a_channels_limit_and_another_channels_rest_are_one_answer():
    limit = LimitSpec(id="lim_a", scope="channel", scope_id="chn_a", limit=1)
    channels = [channel("a", priority=1), channel("b")]
    harness = Harness(Step(), limited(retry_after="90"), channels=channels, limits=(limit,))
    await harness.ask()
    harness.now_s += 20
    assert told(await harness.ask()) == 40
    again = await harness.ask()
    assert told(again) == 40
    said = "All 2 channels for `m` are cooling down after errors or at their limits; next try in 40 s."
    assert again.json["error"]["message"] == said


async def test_without_cooldown_the_upstreams_own_words_are_all_there_is():
    harness = Harness(limited(retry_after="40"), policy=PolicySpec(has_cooldown=False))
    assert told(await harness.ask()) == 40
    assert (await harness.ask()).status == 200


async def test_a_channel_without_a_credential_rests_too():
    harness = keyless(limited(retry_after="30"), channels=[channel("a", credentials=())])
    answers = [await harness.ask() for _ in range(3)]
    assert [(answer.status, told(answer)) for answer in answers] == [(429, 30), (503, 30), (503, 30)]
    assert len(harness.provider.sent) == 1
    assert harness.records[-1].attempts[-1].detail == "its provider limits it; next try in 30 s"
    dry = await harness.ask(headers={"x-routex-dry-run": "1"})
    assert "next try in 30 s" in dry.body.decode()
    harness.now_s += 30
    assert (await harness.ask()).status == 200


async def test_another_channel_answers_while_one_without_a_credential_rests():
    channels = [channel("a", credentials=(), priority=1), channel("b", credentials=())]
    harness = keyless(limited(retry_after="30"), channels=channels)
    assert [(await harness.ask()).headers["x-routex-channel"] for _ in range(2)] == ["b", "b"]
    assert len(harness.provider.sent) == 3


async def test_a_breaker_that_closed_keeps_nobody_waiting():
    policy, breaker = PolicySpec(breaker_failures=1, breaker_open_s=30), Breaker()
    breaker.failed(policy, 0.0)
    assert breaker.open_until_s == 30
    breaker.succeeded(policy)
    assert breaker.open_until_s == 0
