"""Retries are bounded: per request by count, time and money, per channel by their share. No test waits."""

import itertools

import pytest

from analytics.engine.pricing import Price
from channels_app.engine.errors import UpstreamTimeout
from channels_app.engine.rates import Rates
from routing.engine import attempts
from routing.engine.document import PolicySpec
from routing.engine.retries import RETRY_FLOOR, RetryBudget, RetryWindow
from routing.engine.snapshot import Snapshot
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, status


def test_a_channel_without_failures_takes_what_others_could_not_answer():
    window = RetryWindow()
    for _ in range(1000):
        window.tried(5.0, is_retry=True)
    assert window.allows_retry(5.0)


def test_a_failing_channel_gets_a_fifth_of_its_tries_as_retries():
    window = RetryWindow()
    allowed = 0
    for number in range(1000):
        now_s = number / 100
        window.tried(now_s, is_retry=False)
        window.failed(now_s)
        if window.allows_retry(now_s):
            window.tried(now_s, is_retry=True)
            allowed += 1
    # Of all tries, retries included, a fifth.
    assert 200 <= allowed <= 260


def test_few_retries_are_always_allowed():
    window = RetryWindow()
    window.failed(0.0)
    for _ in range(RETRY_FLOOR):
        assert window.allows_retry(0.0)
        window.tried(0.0, is_retry=True)
    assert not window.allows_retry(0.0)


def test_what_is_ten_seconds_old_is_forgotten():
    window = RetryWindow()
    window.failed(100.0)
    for _ in range(50):
        window.tried(100.0, is_retry=True)
    assert not window.allows_retry(109.9)
    assert window.allows_retry(110.0)


def test_a_clock_that_jumps_is_survived():
    window = RetryWindow()
    for now_s in (5.0, 1e9, 3.0, 1e9 + 1):
        window.tried(now_s, is_retry=True)
        window.failed(now_s)
        assert window.allows_retry(now_s)


def test_the_budget_counts_tries_and_time():
    budget = RetryBudget(attempts=3, until_s=10.0)
    assert budget.allows(99.0)  # the first try always may
    budget.tries = 1
    assert budget.allows(9.9) and not budget.allows(10.0)
    budget.tries = 3
    assert not budget.allows(0.0)


@pytest.mark.parametrize(
    ("failed", "following", "is_afforded"),
    [
        ([], 10**12, True),
        ([None], 10**12, True),
        ([100], 100, True),
        ([100, 100], 100, True),
        ([100, 100, 100], 100, False),
        ([100], 201, False),
        ([100, 100, 100], None, True),
    ],
)
def test_money_bounds_what_failed_tries_may_have_cost(failed, following, is_afforded):
    budget = RetryBudget(attempts=100, until_s=10.0)
    for cost in failed:
        budget.charge(cost)
    assert budget.affords(following) is is_afforded


@pytest.fixture
def no_pauses(monkeypatch):
    """Let the pauses between rounds take no time."""

    async def no_sleep(seconds):
        return None

    monkeypatch.setattr(attempts.asyncio, "sleep", no_sleep)


@pytest.mark.asyncio
async def test_an_outage_never_becomes_a_storm(no_pauses):
    """Everything fails for a minute, 20 requests a second; the breakers are out of the way."""
    policy = PolicySpec(attempts=5, breaker_failures=10**9)
    made = Harness(channels=[channel("a"), channel("b")], policy=policy)
    made.gateway.chance = itertools.cycle([0.1, 0.6, 0.3, 0.8]).__next__
    made.provider.steps = [status(503) for _ in range(10_000)]
    for number in range(1200):
        made.now_s = 1000.0 + number / 20
        assert (await made.ask()).status in {502, 503}
    tries = len(made.provider.sent)
    assert 1200 <= tries <= 1200 * 1.3, tries
    reasons = [attempt.reason for record in made.records for attempt in record.attempts]
    assert "retry_budget" in reasons


@pytest.mark.asyncio
async def test_one_dead_channel_costs_no_request_its_answer():
    policy = PolicySpec(breaker_failures=10**9, is_session_enabled=False)
    made = Harness(channels=[channel("dead", priority=1), channel("alive")], policy=policy)
    for number in range(300):
        made.now_s = 1000.0 + number / 100
        made.provider.steps = [status(503), Step()]
        assert (await made.ask()).status == 200


@pytest.mark.asyncio
async def test_no_further_try_begins_after_the_time_for_retries():
    made = Harness(*[status(500)] * 9, channels=[channel("a"), channel("b")], policy=PolicySpec(retry_total_s=10))
    send = made.provider.send

    async def slowly(request, upstreams):
        made.now_s += 11
        return await send(request, upstreams)

    made.provider.send = slowly
    assert (await made.ask()).status == 502
    assert len(made.provider.sent) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("given", ["0", "-5", "soon", "1.5", "9" * 30, "٣"])
async def test_a_time_that_makes_no_sense_is_refused(given):
    answer = await Harness().ask(headers={"x-routex-timeout-ms": given})
    assert answer.status == 400 and "x-routex-timeout-ms" in answer.json["error"]["message"]


@pytest.mark.asyncio
async def test_a_client_that_waits_no_longer_gets_504_and_the_channel_is_not_blamed():
    made = Harness(policy=PolicySpec(breaker_failures=1))
    send = made.provider.send

    async def never(request, upstreams):
        import asyncio

        await asyncio.Event().wait()

    made.provider.send = never
    answer = await made.ask(headers={"x-routex-timeout-ms": "30"})
    assert answer.status == 504
    assert made.record.attempts[-1].reason == "out_of_time"
    made.provider.send = send
    made.records.clear()
    assert (await made.ask(headers={"x-routex-timeout-ms": "60000"})).status == 200


@pytest.mark.asyncio
async def test_an_upstream_that_took_too_long_itself_stays_a_timeout(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)
    made = Harness(*[Step(504, [b"<html>Gateway Time-out</html>"]) for _ in range(3)])
    answer = await made.ask()
    assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")
    assert "HTTP 504" in answer.json["error"]["message"] and "<html>" not in answer.json["error"]["message"]
    assert made.record.error_code == "timeout" and len(made.provider.sent) > 1


@pytest.mark.asyncio
async def test_money_ends_retries_that_may_have_been_charged(monkeypatch):
    prices = {"chn_a": 1_000, "chn_b": 1_000, "chn_dear": 5_000}
    monkeypatch.setattr(
        Snapshot, "price", lambda self, c, at_s: Price(Rates(input=(p := prices[c.channel.spec.id]), output=p))
    )
    timeouts = [Step(error=UpstreamTimeout("first_byte", 60)) for _ in range(9)]
    channels = [channel("a", priority=3), channel("dear", priority=2), channel("b", priority=1)]
    made = Harness(*timeouts, channels=channels, policy=PolicySpec(attempts=3))
    await made.ask()
    assert [attempt.channel for attempt in made.record.attempts if attempt.reason == "timeout"] == ["a", "b"]
    assert ("dear", "retry_budget") in made.tried()
