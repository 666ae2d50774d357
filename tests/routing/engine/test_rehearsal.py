"""A dry run tells what would become of a request, the very outcome that it then has, and does nothing of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from channels_app.engine.rates import read_overrides
from routing.engine.document import PolicySpec
from routing.engine.limits import Limits
from routing.engine.store import StoreAway
from routing.engine.stores.memory import MemoryStore
from tenants.engine.limits import LimitSpec, QuotaSpec
from tenants.engine.networks import read_networks
from tests.routing.engine import claude
from tests.routing.engine.budgets import PRICES, Spending, usd
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.harness import PATHS, Answer, Harness, Step, status

pytestmark = pytest.mark.asyncio
DRY = {"x-routex-dry-run": "1"}
TWO = [channel("low", priority=1), channel("high", priority=9)]


async def test_a_dry_run_names_the_first_try_and_asks_nobody():
    harness = Harness(channels=TWO)
    answer = await harness.ask(headers=DRY)
    assert (answer.status, answer.headers["x-routex-dry-run"]) == (200, "1")
    told = answer.json
    assert (told["channel"], told["model"], told["upstream_format"]) == ("high", "m", "openai-chat")
    assert [each["channel"] for each in told["decision"]["candidates"]] == ["high", "low"]
    assert harness.provider.sent == []
    assert harness.records == []


@pytest.mark.parametrize("path", [path for path in PATHS.values() if "transcription" not in path])
async def test_every_path_can_be_asked_so(path):
    body = {"model": "m", "input": "x", "query": "q", "documents": ["d"], "prompt": "p", "voice": "v"}
    conversation = {"messages": [{"role": "user", "content": "x"}], "contents": [{"parts": [{"text": "x"}]}]}
    harness = Harness()
    answer = await harness.ask(body | conversation, path=path, headers=DRY)
    assert answer.json["object"] == "routing.decision"
    assert harness.provider.sent == []


async def test_a_request_that_would_be_refused_is_told_so_and_why():
    answer = await Harness(channels=TWO).ask(headers=DRY, model="n")
    assert answer.status == 200
    assert answer.json["error"]["code"] == "model_not_found"
    assert answer.json["channel"] == ""


@pytest.mark.parametrize(("headers", "status"), [({"authorization": "Bearer nonsense"}, 401)])
async def test_who_may_not_ask_may_not_ask_this_either(headers, status):
    assert (await Harness().ask(headers=DRY | headers)).status == status


async def test_a_key_of_one_network_is_refused_elsewhere_as_ever():
    harness = Harness()
    harness.configuration.known = principal(networks=read_networks(["10.0.0.0/8"]))
    refused = await harness.ask(headers=DRY)
    assert (refused.status, refused.json["error"]["code"]) == (403, "ip_not_allowed")
    assert refused.json["error"]["message"] == (await harness.ask()).json["error"]["message"]
    assert (await harness.ask(headers=DRY, client=("10.0.0.1", 1))).json["channel"] == "a"


async def test_a_body_that_is_none_is_told_as_ever():
    answer = await Harness().ask(b"{", headers=DRY)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("value", ["0", "false", ""])
async def test_the_header_can_say_no(value):
    answer = await Harness().ask(headers={"x-routex-dry-run": value})
    assert answer.json.get("object") != "routing.decision"


async def test_channels_that_are_left_out_say_why():
    three = [*TWO, channel("off", is_enabled=False, priority=99)]
    answer = await Harness(channels=three).ask(headers=DRY)
    assert {each["channel"]: each.get("dropped", "") for each in answer.json["decision"]["candidates"]} == {
        "off": "is switched off",
        "high": "",
        "low": "",
    }
    assert [each["rank"] for each in answer.json["decision"]["candidates"] if "dropped" not in each] == [1, 2]


async def test_a_channel_whose_breaker_is_open_is_passed_over_in_a_dry_run_as_well():
    harness = Harness(status(500), channels=TWO, policy=PolicySpec(breaker_failures=1))
    assert (await harness.ask()).status == 200
    told = (await harness.ask(headers=DRY)).json
    assert told["channel"] == "low"
    dropped = {each["channel"]: each.get("dropped", "") for each in told["decision"]["candidates"]}
    assert "breaker is open" in dropped["high"] and not dropped["low"]


@pytest.mark.parametrize("fault", ["no credential", "cooling down"])
async def test_where_no_channel_can_be_tried_a_dry_run_tells_what_a_request_is_told(fault):
    bare = {"channels": [channel("a", credentials=())], "policy": PolicySpec()}
    broken = {"channels": [channel("a")], "policy": PolicySpec(breaker_failures=1)}
    harness = Harness(status(500), **(bare if fault == "no credential" else broken))
    if fault == "cooling down":
        assert (await harness.ask()).status >= 500
    told = (await harness.ask(headers=DRY)).json["error"]
    answer = await harness.ask()
    error = answer.json["error"]
    assert (told["status"], told["code"], told["message"]) == (answer.status, error["code"], error["message"])
    assert told["code"] == ("no_available_channel" if fault == "no credential" else "server_is_overloaded")


async def test_limits_are_looked_at_and_not_used_up():
    limit = LimitSpec(id="lim_1", limit=1, window_s=60)
    harness = Harness(limits=(limit,))
    for _ in range(3):
        told = (await harness.ask(headers=DRY)).json
        assert (told["error"], told["decision"]["spends"][0]["left"]) == (None, 0)
    assert (await harness.ask()).status == 200
    told = (await harness.ask(headers=DRY)).json
    assert (told["error"]["status"], told["error"]["code"]) == (429, "rate_limit_exceeded")


# --- the same request, first as a dry run and then in earnest

LONG = [{"role": "user", "content": "word " * 400}]
PRICED = read_overrides(PRICES)
#: The preferred channel speaks Anthropic's format alone; the other one the client's.
MIXED = [channel("pri", priority=9, format="anthropic"), channel("sec", format="openai-chat")]
FOREIGN = MIXED[:1]


class Away(MemoryStore):
    """Shared counters that do not answer."""

    async def get(self, key: str) -> bytes | None:
        raise StoreAway("gone")

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        raise StoreAway("gone")


@dataclass
class Case:
    """A request, and what the world is like when it comes: `first` so many went before it."""

    fields: dict[str, Any] = field(default_factory=dict)
    ask: dict[str, Any] = field(default_factory=dict)
    first: int = 0
    #: What the case is about: the channel that answers, or the code of the refusal.
    outcome: str = "a"
    before: Callable[[Harness], Any] | None = None


def limits(*of: LimitSpec, **fields: Any) -> dict[str, Any]:
    return {"limits": of} | fields


def requests(limit: int = 60, algorithm: str = "sliding_window", **options: Any) -> LimitSpec:
    return LimitSpec(id="lim_t", limit=limit, algorithm=algorithm, options=options)


def tokens(limit: int = 1000, algorithm: str = "sliding_window", **options: Any) -> LimitSpec:
    return LimitSpec(id="lim_k", kind="tokens", limit=limit, algorithm=algorithm, options=options)


def of_channel(slug: str, **fields: Any) -> LimitSpec:
    return LimitSpec(id=f"lim_{slug}", scope="channel", scope_id=f"chn_{slug}", **({"limit": 1} | fields))


def on_channel(slug: str, amount: int) -> QuotaSpec:
    return QuotaSpec(id=f"quo_{slug}", scope="channel", scope_id=f"chn_{slug}", kind="requests", amount=amount)


async def hold(harness: Harness, permits: int) -> None:
    """Somebody else's request takes so many."""
    (spec,) = harness.configuration.built.document.limits
    assert (await harness.gateway.limits.account("ten_1", spec).take(permits, ("ten_1", "key_2"))).granted


async def hold_one(harness: Harness) -> None:
    await hold(harness, 1)


def in_line(key_id: str) -> Callable[[Harness], Awaitable[None]]:
    """Fill the queue of the limit with requests of a key."""

    async def wait(harness: Harness) -> None:
        (spec,) = harness.configuration.built.document.limits
        account = harness.gateway.limits.account("ten_1", spec)
        harness.waiting = [asyncio.create_task(account.take(1, ("ten_1", key_id))) for _ in range(4)]  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    return wait


def counters_away(harness: Harness) -> None:
    store = Away(is_shared=True)
    harness.gateway.store, harness.gateway.limits = store, Limits(store)


async def upstream_refuses(harness: Harness) -> None:
    harness.provider.steps = [status(429)]
    await harness.ask()
    harness.provider.steps = []


def taken(amount: int, spent: int = 0) -> Callable[[Any], None]:
    def take(harness: Any) -> None:
        harness.ledger.taken, harness.ledger.spent = amount, spent

    return take


def lose_the_ledger(harness: Any) -> None:
    harness.ledger.is_away = True


def count_nowhere(harness: Any) -> None:
    harness.gateway.budget = None


PAIR = [channel("a", priority=9), channel("b")]
PRICED_PAIR = [channel("a", priority=9, prices=PRICED), channel("b", prices=PRICED)]
REFUSED, FULL = "rate_limit_exceeded", "concurrency_limit_exceeded"
NO_COOLDOWN = PolicySpec(has_cooldown=False, attempts=1)

LIMITS = {
    "room in the window": Case(limits(requests(2)), first=1),
    "a full window": Case(limits(requests(2)), first=2, outcome=REFUSED),
    "a limit of nothing": Case(limits(requests(0)), outcome=REFUSED),
    "an empty bucket": Case(limits(requests(60, "token_bucket", burst=2)), first=2, outcome=REFUSED),
    "room in a queue": Case(limits(requests(60_000, "leaky_bucket", queue=9)), first=1),
    "a queue of nobody": Case(limits(requests(60, "leaky_bucket", queue=0)), first=1, outcome=REFUSED),
    "a full queue of the key's own": Case(
        limits(requests(6000, "leaky_bucket", queue=3)), before=in_line("key_1"), outcome=REFUSED
    ),
    "a full queue of another key's": Case(limits(requests(6000, "leaky_bucket", queue=3)), before=in_line("key_2")),
    "no counters": Case(limits(requests(9)), before=counters_away),
    "no counters, and nothing is to pass uncounted": Case(
        limits(requests(9, on_outage="closed")), before=counters_away, outcome="limits_unavailable"
    ),
    "a cold limit": Case(limits(requests(60, "warm_up")), first=1, outcome=REFUSED),
    "an adaptive limit": Case(limits(requests(60, "adaptive")), first=1, outcome=REFUSED),
    "an adaptive limit that was cut": Case(
        limits(requests(120, "adaptive"), policy=NO_COOLDOWN), before=upstream_refuses
    ),
    "every place taken": Case(
        limits(LimitSpec(id="lim_c", kind="concurrency", limit=1)), before=hold_one, outcome=FULL
    ),
    "a place that is left": Case(limits(LimitSpec(id="lim_c", kind="concurrency", limit=2)), before=hold_one),
    "a window of tokens with room": Case(limits(tokens(1000)), {"messages": LONG}, first=1),
    "a full window of tokens": Case(
        limits(tokens(1000)), {"messages": LONG}, before=lambda harness: hold(harness, 900), outcome=REFUSED
    ),
    "an empty bucket of tokens": Case(
        limits(tokens(1000, "token_bucket")), {"messages": LONG}, before=lambda h: hold(h, 900), outcome=REFUSED
    ),
    "a queue that tokens fill": Case(
        limits(tokens(6000, "leaky_bucket", queue=9)), before=lambda h: hold(h, 900), outcome=REFUSED
    ),
    "more tokens than the window": Case(limits(tokens(10)), {"messages": LONG}, outcome=REFUSED),
    "more tokens than the burst": Case(
        limits(tokens(1000, "token_bucket", burst=10)), {"messages": LONG}, outcome=REFUSED
    ),
    "more tokens than a cold limit has": Case(limits(tokens(6000, "warm_up")), {"messages": LONG}),
    "more tokens than an adaptive limit has": Case(limits(tokens(6000, "adaptive")), {"messages": LONG}),
    "tokens that are paid off": Case(
        limits(tokens(600, "warm_up")), {"messages": LONG}, before=hold_one, outcome=REFUSED
    ),
    "two limits, the second reached": Case(
        limits(requests(9), replace(requests(1), id="lim_2")), first=1, outcome=REFUSED
    ),
    "a limit of the channel": Case(limits(of_channel("a")), first=1, outcome="server_is_overloaded"),
    "a limit of the channel, another behind it": Case(limits(of_channel("a"), channels=PAIR), first=1, outcome="b"),
    "a limit of the channel that is too small": Case(
        limits(of_channel("a", kind="tokens", limit=5)), {"messages": LONG}, outcome=REFUSED
    ),
}
QUOTAS = {
    "plenty": Case({"quotas": (usd(10**9),)}, first=1),
    "a quota that others used up": Case(
        {"quotas": (usd(10**9),)}, before=taken(10**9, 10**9), outcome="insufficient_quota"
    ),
    "a quota that this process used up": Case(
        {"quotas": (QuotaSpec(id="q", kind="requests", amount=2),)}, first=2, outcome="insufficient_quota"
    ),
    "a quota too small for the prompt": Case({"quotas": (usd(10_000),)}, outcome="insufficient_quota"),
    "a quota that others hold": Case({"quotas": (usd(10**9),)}, before=taken(10**9), outcome="quota_reserved"),
    "the end of a quota, with a shorter answer": Case({"quotas": (usd(3_000_000),)}),
    "the end of a quota, for a strict request": Case(
        {"quotas": (usd(3_000_000),)},
        {"max_tokens": 500, "headers": {"x-routex-strict": "1"}}, outcome="insufficient_quota",
    ),
    "two quotas, the second used up": Case(
        {"quotas": (usd(10**9), QuotaSpec(id="q", kind="tokens", amount=8))}, {"max_tokens": 9},
        outcome="insufficient_quota",
    ),
    "a used up quota for Anthropic's client": Case(
        {"quotas": (usd(10_000),)},
        {"path": PATHS["anthropic"], "max_tokens": 9}, outcome="insufficient_quota",
    ),
    "a used up quota of the channel": Case(
        {"quotas": (on_channel("a", 1),)}, first=1, outcome="insufficient_quota"
    ),
    "a used up quota of the channel, another behind it": Case(
        {"quotas": (on_channel("a", 1),), "channels": PRICED_PAIR}, first=1, outcome="b"
    ),
    "no price": Case({"quotas": (usd(10**9),), "prices": {}}, outcome="unpriced_model"),
    "no price on the first channel": Case(
        {"quotas": (usd(10**9),), "channels": [PAIR[0], PRICED_PAIR[1]]}, outcome="b"
    ),
    "no ledger": Case({"quotas": (usd(10**9),)}, before=lose_the_ledger, outcome="ledger_away"),
    "no ledger, and something drawn": Case(
        {"quotas": (QuotaSpec(id="q", kind="requests", amount=9),)}, first=1, before=lose_the_ledger
    ),
    "nobody who counts": Case({"quotas": (usd(10**9),)}, before=count_nowhere, outcome="ledger_away"),
}  # fmt: skip
SPEECH = {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}
CARRYING = {
    "several answers": Case({"channels": FOREIGN}, {"n": 3}, outcome="unsupported_parameter"),
    "several answers, another channel behind": Case({"channels": MIXED}, {"n": 3}, outcome="sec"),
    "speech": Case({"channels": FOREIGN}, SPEECH, outcome="unsupported_parameter"),
    "speech, another channel behind": Case({"channels": MIXED}, SPEECH, outcome="sec"),
    "a drop": Case({"channels": FOREIGN}, {"seed": 3}, outcome="pri"),
    "a drop for a strict request": Case(
        {"channels": FOREIGN}, {"seed": 3, "headers": {"x-routex-strict": "1"}}, outcome="lossy_translation"
    ),
    "a drop for a strict request, another channel behind": Case(
        {"channels": MIXED}, {"seed": 3, "headers": {"x-routex-strict": "1"}}, outcome="sec"
    ),
    "a mistyped role": Case(
        {"channels": FOREIGN}, {"messages": [{"role": "assist", "content": "x"}]}, outcome="invalid_value"
    ),
    "a header that is no number": Case({}, {"headers": {"x-routex-timeout-ms": "abc"}}, outcome="invalid_value"),
    "no credential on the first channel": Case(
        {"channels": [channel("a", priority=9, credentials=()), channel("b")]}, outcome="b"
    ),
    "a model that nobody has": Case({}, {"model": "n"}, outcome="model_not_found"),
    "a count": Case({}, {"path": "/v1/messages/count_tokens"}),
    "a count that is none": Case(
        {}, {"path": "/v1/messages/count_tokens", "messages": 5}, outcome="invalid_value"
    ),
    "a count with a header that is no number": Case(
        {}, {"path": "/v1/messages/count_tokens", "headers": {"x-routex-timeout-ms": "abc"}}, outcome="invalid_value"
    ),
    "another server's failures": Case(
        {"channels": PAIR, "policy": PolicySpec(breaker_failures=1)}, before=lambda h: fail_first(h), outcome="b"
    ),
}  # fmt: skip


async def fail_first(harness: Harness) -> None:
    harness.provider.steps = [status(500)]
    await harness.ask()


def code_of(answer: Answer) -> str:
    error = json.loads(answer.body).get("error", {})
    return str(error.get("code", ""))


async def outcomes(harness: Harness, case: Case) -> tuple[dict[str, Any], Answer]:
    """Return what a dry run told, and what became of the same request at once after it."""
    for _ in range(case.first):
        assert (await harness.ask(**case.ask)).status == 200
    if case.before is not None:
        done = case.before(harness)
        if isinstance(done, Awaitable):
            await done
    sent, recorded = len(harness.provider.sent), len(harness.records)
    headers = case.ask.get("headers", {})
    told = [(await harness.ask(**case.ask | {"headers": headers | DRY})).json for _ in range(2)]
    assert told[0]["error"] == told[1]["error"] and told[0]["channel"] == told[1]["channel"]
    assert (len(harness.provider.sent), len(harness.records)) == (sent, recorded)
    foreign = [each for each in harness.configuration.built.document.channels if each.format == "anthropic"]
    if foreign and told[0]["channel"] == foreign[0].slug:
        harness.provider.steps = [Step(chunks=[json.dumps(claude.ANSWER).encode()])]
    return told[0], await harness.ask(**case.ask)


def assert_true(told: dict[str, Any], answer: Answer, outcome: str) -> None:
    if answer.status == 200:
        assert (told["error"], told["channel"]) == (None, answer.headers["x-routex-channel"])
        assert told["channel"] == outcome
        return
    said = told["error"]
    assert (said["status"], said["message"]) == (answer.status, answer.json["error"]["message"])
    assert said["code"] == outcome
    assert code_of(answer) in {outcome, ""}
    wait_ms = answer.headers.get("retry-after-ms")
    if wait_ms is None:
        assert said["retry_after_s"] is None
    else:
        assert abs(said["retry_after_s"] * 1000 - int(wait_ms)) <= 1
    assert told["channel"] == ""


@pytest.mark.parametrize("name", [*LIMITS, *CARRYING])
async def test_a_dry_run_tells_what_then_happens(name):
    case = (LIMITS | CARRYING)[name]
    told, answer = await outcomes(Harness(**case.fields), case)
    assert_true(told, answer, case.outcome)


@pytest.mark.parametrize("name", QUOTAS)
async def test_a_dry_run_tells_what_quotas_then_say(tmp_path: Path, name: str):
    case = QUOTAS[name]
    told, answer = await outcomes(Spending(tmp_path, **case.fields), case)
    assert_true(told, answer, case.outcome)
