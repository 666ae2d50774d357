"""A stage stands as its gateway does, minds what other processes share, and leaves all of it as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels_app.engine.capabilities import Capabilities
from routing.engine.document import PolicySpec
from routing.engine.leases import LeasedAccount
from routing.engine.limits import Limits
from routing.engine.probing import Probing
from routing.engine.sessions import Sessions
from routing.engine.stores.memory import MemoryStore
from tenants.engine.limits import LimitSpec, QuotaSpec
from tests.routing.engine.budgets import Spending, usd
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Answer, Harness, status

pytestmark = pytest.mark.asyncio
DRY = {"x-routex-dry-run": "1"}
TWO = [channel("a", priority=9), channel("b")]
SESSION = {"x-routex-session-id": "one"}


def siblings(*steps: Any, **fields: Any) -> tuple[Harness, Harness, MemoryStore]:
    """Return two processes over one store, and the store."""
    first, second = Harness(*steps, **fields), Harness(**fields)
    store = MemoryStore(lambda: first.now_s, is_shared=True)
    for each in (first, second):
        gateway = each.gateway
        gateway.store, gateway.limits = store, Limits(store)
        gateway.sessions, gateway.probing = Sessions(store), Probing(store)
    return first, second, store


async def told(harness: Harness, **ask: Any) -> dict[str, Any]:
    answer: Answer = await harness.ask(**ask | {"headers": DRY | ask.get("headers", {})})
    return dict(answer.json)


@pytest.mark.parametrize("algorithm", ["sliding_window", "token_bucket", "leaky_bucket", "warm_up", "adaptive"])
async def test_what_other_processes_counted_counts(algorithm):
    options = {"queue": 0} if algorithm == "leaky_bucket" else {"burst": 1} if algorithm != "sliding_window" else {}
    limit = LimitSpec(id="lim_1", limit=1, algorithm=algorithm, options=options)
    first, second, store = siblings(limits=(limit,))
    assert (await told(second))["error"] is None
    assert (await first.ask()).status == 200
    before = dict(store._values)
    said = (await told(second))["error"]
    assert store._values == before
    answer = await second.ask()
    assert (said["status"], said["message"]) == (answer.status, answer.json["error"]["message"])


async def test_places_that_other_processes_hold_are_taken():
    limit = LimitSpec(id="lim_1", kind="concurrency", limit=1)
    first, second, _ = siblings(limits=(limit,))
    account = first.gateway.limits.account("ten_1", limit)
    assert (await account.take(1, ("ten_1", "key_1"))).granted
    assert (await told(second))["error"]["code"] == "concurrency_limit_exceeded"
    account.give_back(1)
    await account.close()
    assert (await told(second))["error"] is None


async def test_permits_that_this_process_took_ahead_are_its_own():
    limit = LimitSpec(id="lim_1", limit=40)
    first, second, _ = siblings(limits=(limit,))
    account = first.gateway.limits.account("ten_1", limit)
    assert isinstance(account, LeasedAccount)
    taken = 0
    while not (ahead := account._free):  # demand makes it take permits ahead
        assert (await account.take(1, ("ten_1", "key_1"))).granted
        taken += 1
    assert (await told(first))["decision"]["spends"][0]["left"] == 40 - taken - 1
    assert (await told(second))["decision"]["spends"][0]["left"] == 40 - taken - 1 - ahead
    assert account._free == ahead
    await account.close()


async def test_a_breaker_that_another_process_opened_is_open():
    first, second, _ = siblings(status(500), channels=TWO, policy=PolicySpec(breaker_failures=1))
    assert (await first.ask()).headers["x-routex-channel"] == "b"
    await first.gateway.probing.settled()
    assert (await told(second))["channel"] == "b"
    assert not second.gateway.states.tenant("ten_1")


async def test_a_half_open_channel_is_not_probed_by_a_dry_run():
    harness = Harness(status(500), channels=TWO[:1], policy=PolicySpec(breaker_failures=1, attempts=1))
    await harness.ask()
    harness.now_s += 3600
    for _ in range(2):
        assert (await told(harness))["channel"] == "a"
    assert harness.gateway.states.tenant("ten_1")["chn_a"].breaker.has_trial is False


async def test_a_session_that_another_process_pinned_is_found_and_not_learned():
    first, second, _ = siblings(status(500), channels=TWO, policy=PolicySpec(breaker_failures=9))
    assert (await first.ask(headers=SESSION)).headers["x-routex-channel"] == "b"
    await first.gateway.sessions.told()
    found = await told(second, headers=SESSION)
    assert (found["channel"], found["decision"]["stickiness"]) == ("b", "kept")
    assert len(second.gateway.sessions) == 0 and not second.gateway.sessions.waiting


async def test_strategies_take_no_turn():
    policy = PolicySpec(strategy="round_robin", is_session_enabled=False)
    harness = Harness(channels=[channel("a"), channel("b")], policy=policy)
    assert {(await told(harness))["channel"] for _ in range(3)} == {"a"}
    assert [(await harness.ask()).headers["x-routex-channel"] for _ in range(2)] == ["a", "b"]


async def test_a_queue_is_told_and_not_stood_in():
    limit = LimitSpec(id="lim_1", limit=60, algorithm="leaky_bucket", options={"queue": 5})
    harness = Harness(limits=(limit,))
    account = harness.gateway.limits.account("ten_1", limit)
    waiting = [asyncio.create_task(account.take(1, ("ten_1", "key_1"))) for _ in range(3)]
    await asyncio.sleep(0)
    spend = (await told(harness))["decision"]["spends"][0]
    assert 2900 <= spend["waited_ms"] <= 3000
    assert account._queue is not None and len(account._queue) == 2
    for each in waiting:
        each.cancel()


async def test_a_dry_run_draws_and_reserves_nothing(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(10**9),))
    assert (await told(harness))["error"] is None
    assert not harness.accounts.is_in_use and not harness.ledger.drawn_of
    await harness.ask(max_tokens=9)
    lease = harness.lease
    before = (lease.amount, lease.used, lease.reserved, dict(harness.ledger.drawn_of))
    assert (await told(harness))["error"] is None
    assert (lease.amount, lease.used, lease.reserved, dict(harness.ledger.drawn_of)) == before


async def test_what_is_left_is_in_this_processs_slice_and_in_the_ledger_together(tmp_path):
    harness = Spending(tmp_path, quotas=(QuotaSpec(id="q", kind="tokens", amount=1000),))
    assert (await harness.ask(max_tokens=100)).status == 200
    for tokens, code in ((800, None), (2000, "insufficient_quota")):
        said = (await told(harness, max_tokens=tokens, headers={"x-routex-strict": "1"}))["error"]
        assert (said and said["code"]) == code


async def test_what_depends_on_others_is_said_to(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(10**9),))
    harness.ledger.taken = 10**9
    found = await told(harness)
    assert found["error"]["code"] == "quota_reserved"
    assert "this tells what becomes of it when that is nothing" in found["unsure"][0]
    harness.ledger.taken = 0
    assert (await told(harness))["unsure"] == []


async def test_media_are_not_fetched_and_said_not_to_be(monkeypatch):
    harness = Harness(channels=[channel("a", format="anthropic")])
    can = {"anthropic": Capabilities(image_urls=False)}
    monkeypatch.setattr(type(harness.provider), "capabilities", can)
    picture = {"type": "image_url", "image_url": {"url": "https://user:word@pictures.example/one.png"}}
    found = await told(harness, messages=[{"role": "user", "content": [picture]}])
    assert (found["error"], found["channel"]) == (None, "a")
    assert found["unsure"] == ["Media on pictures.example would be fetched first, and were not looked at."]


async def test_whoever_stands_behind_the_first_is_looked_at_too():
    three = [*TWO, channel("bare", priority=-1, credentials=())]
    harness = Harness(channels=three)
    found = await told(harness)
    dropped = {each["channel"]: each.get("dropped", "") for each in found["decision"]["candidates"]}
    assert dropped == {"a": "", "b": "", "bare": "the channel has no credential"}
