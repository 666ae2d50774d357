"""Limits through the whole gateway: who is let through, what clients are told, and what is settled at the end."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace

from channels_app.engine.errors import UpstreamRefused
from routing.engine.document import PolicySpec
from routing.engine.store import StoreAway
from routing.engine.stores.memory import MemoryStore
from tenants.engine.limits import LimitSpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import GOOD_STREAM, PATHS, Harness, Step, status, streamed

pytestmark = pytest.mark.asyncio


def of_tenant(limit: int = 2, **fields) -> LimitSpec:
    return LimitSpec(**({"id": "lim_t", "limit": limit} | fields))


def of_channel(slug: str = "a", limit: int = 1, **fields) -> LimitSpec:
    fields = {"id": f"lim_{slug}", "scope": "channel", "scope_id": f"chn_{slug}", "limit": limit} | fields
    return LimitSpec(**fields)


def with_key_limits(harness: Harness, *limits: LimitSpec) -> Harness:
    harness.configuration.known = replace(harness.configuration.known, limits=limits)
    return harness


def left(harness: Harness, spec: LimitSpec) -> int:
    return harness.gateway.limits.account("ten_1", spec).left()


# --- who is let through


async def test_request_without_limits_carries_no_headers_of_them():
    answer = await Harness().ask()
    assert answer.status == 200
    assert not any("ratelimit" in name for name in answer.headers)


async def test_limit_of_the_tenant_refuses_what_is_too_much_and_opens_again():
    harness = Harness(limits=(of_tenant(2),))
    assert [(await harness.ask()).status for _ in range(3)] == [200, 200, 429]
    harness.now_s += 61
    assert (await harness.ask()).status == 200


async def test_refusal_says_which_limit_and_a_wait_that_is_true():
    harness = with_key_limits(Harness(), LimitSpec(id="lim_k", scope="key", scope_id="key_1", limit=1))
    await harness.ask()
    harness.now_s += 46.5
    refused = await harness.ask()
    assert refused.json["error"]["message"] == "Limit of 1 requests/min for key `ci` reached (1/1). Try again in 14 s."
    assert (refused.json["error"]["type"], refused.json["error"]["code"]) == ("requests", "rate_limit_exceeded")
    assert refused.headers["retry-after"] == "14"
    assert 13_500 <= int(refused.headers["retry-after-ms"]) <= 13_501
    harness.now_s += int(refused.headers["retry-after-ms"]) / 1000
    assert (await harness.ask()).status == 200


@pytest.mark.parametrize(
    ("algorithm", "options", "first", "told"),
    [
        ("sliding_window", {}, 60, "60/60"),
        ("token_bucket", {"burst": 2}, 2, "0 left of a burst of 2"),
        ("leaky_bucket", {"queue": 0}, 1, "one passes after another, and none may wait"),
        ("warm_up", {}, 1, "0 left of a burst of 1; it warms up, and is at 20% of its rate"),
        ("warm_up", {"cold": 1.0, "burst": 3}, 3, "0 left of a burst of 3"),
        ("adaptive", {"burst": 5}, 5, "0 left of a burst of 5"),
    ],
)
async def test_refusal_says_what_there_is_of_a_limit_by_its_own_measure(algorithm, options, first, told):
    harness = Harness(limits=(of_tenant(60, algorithm=algorithm, options=options),))
    assert [(await harness.ask()).status for _ in range(first)] == [200] * first
    refused = await harness.ask()
    message = refused.json["error"]["message"]
    assert message.startswith(f"Limit of 60 requests/min for tenant `acme` reached ({told}). Try again in ")


async def test_full_queue_and_a_rate_that_was_cut_are_said():
    queue = LimitSpec(id="lim_q", limit=60, algorithm="leaky_bucket", options={"queue": 2})
    cut = LimitSpec(id="lim_a", limit=60, algorithm="adaptive", options={"burst": 4})
    harness = Harness(limits=(queue, cut))
    accounts = [harness.gateway.limits.account("ten_1", spec) for spec in (queue, cut)]
    assert accounts[0].take_at_once(3) is not None
    assert accounts[0].reached(0) == "its queue of 2 is full"
    accounts[1].hear(is_refusal=True)
    assert accounts[1].reached(0) == (
        "0 left of a burst of 2; it is at 50% of its rate, since its upstream refused more"
    )


async def test_limit_of_a_model_counts_for_what_its_glob_names():
    limit = LimitSpec(id="lim_m", scope="model", scope_id="gpt-*", limit=1)
    harness = Harness(channels=[channel("a", models=("gpt-a", "gpt-b", "other"))], limits=(limit,))
    asked = [(await harness.ask(model=name)).status for name in ("gpt-a", "other", "gpt-b", "other")]
    assert asked == [200, 200, 429, 200]


async def test_limit_of_one_key_is_no_other_keys():
    harness = with_key_limits(Harness(), LimitSpec(id="lim_k", scope="key", scope_id="key_1", limit=1))
    await harness.ask()
    harness.configuration.known = replace(harness.configuration.known, key_id="key_2", limits=())
    assert (await harness.ask()).status == 200


async def test_what_one_limit_gave_goes_back_when_another_refuses():
    wide, narrow = of_tenant(10), LimitSpec(id="lim_m", scope="model", scope_id="m", limit=0)
    harness = Harness(limits=(wide, narrow))
    refused = await harness.ask()
    assert refused.status == 429
    assert left(harness, wide) == 10
    assert not harness.provider.sent
    told = [(spend.name, spend.left, spend.refused) for spend in harness.record.decision.spends]
    assert told == [("tenant `acme`: 10 requests/min", 9, ""), ("model `m`: 0 requests/min", 0, "reached")]


async def test_request_that_can_never_pass_is_not_to_be_tried_again():
    refused = await Harness(limits=(of_tenant(5, kind="tokens"),)).ask(
        messages=[{"role": "user", "content": "x y " * 99}]
    )
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in refused.headers
    assert re.match(
        r"This request has about \d+ tokens: too many for the limit of 5 tokens/min", refused.json["error"]["message"]
    )


# --- what clients are told


async def test_openai_clients_are_told_of_the_tightest_limits():
    limits = (of_tenant(100), of_tenant(4, id="lim_2", window_s=3600), of_tenant(5000, id="lim_3", kind="tokens"))
    answer = await Harness(limits=limits).ask()
    assert answer.headers["x-ratelimit-limit-requests"] == "4"
    assert answer.headers["x-ratelimit-remaining-requests"] == "3"
    assert answer.headers["x-ratelimit-reset-requests"] == "1h0m0s"
    assert answer.headers["x-ratelimit-limit-tokens"] == "5000"
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 5000
    assert answer.headers["x-ratelimit-reset-tokens"] == "1m0s"


async def test_anthropic_clients_are_told_when_in_rfc_3339():
    harness = Harness(Step(chunks=[b'{"type":"message","model":"m","content":[],"usage":{}}']), limits=(of_tenant(2),))
    harness.now_s = 1_790_000_000.5
    answer = await harness.ask(path=PATHS["anthropic"], max_tokens=9)
    assert answer.headers["anthropic-ratelimit-requests-limit"] == "2"
    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert answer.headers["anthropic-ratelimit-requests-reset"] == "2026-09-21T14:14:21Z"
    await harness.ask(path=PATHS["anthropic"], max_tokens=9)
    refused = await harness.ask(path=PATHS["anthropic"], max_tokens=9)
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"


async def test_gemini_clients_know_no_such_headers():
    harness = Harness(limits=(of_tenant(1),))
    await harness.ask()
    refused = await harness.ask({"contents": []}, path=PATHS["gemini:generateContent"])
    assert (refused.status, refused.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert not any("ratelimit" in name for name in refused.headers)
    assert refused.headers["retry-after"] == "60"


async def test_streams_carry_the_headers_too():
    answer = await Harness(streamed(), limits=(of_tenant(2),)).ask(stream=True)
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"


# --- settling


async def test_tokens_are_admitted_by_estimate_and_settled_with_the_truth():
    tokens = of_tenant(1000, kind="tokens")
    harness = Harness(limits=(tokens,))
    await harness.ask(messages=[{"role": "user", "content": "word " * 300}])
    assert left(harness, tokens) == 1000 - 7


async def test_failed_request_costs_no_tokens_and_counts_as_request():
    requests, tokens = of_tenant(10), of_tenant(1000, id="lim_k", kind="tokens")
    harness = Harness(status(500), limits=(requests, tokens), policy=PolicySpec(attempts=1))
    assert (await harness.ask()).status == 502
    assert (left(harness, requests), left(harness, tokens)) == (9, 1000)


async def test_refused_request_costs_nothing():
    requests = of_tenant(10)
    harness = Harness(limits=(requests,), channels=[channel("a", credentials=())])
    harness.provider.needs_credential = True
    assert (await harness.ask()).status == 503
    assert left(harness, requests) == 10


async def test_place_is_held_until_the_answer_is_whole():
    places, gate = of_tenant(1, kind="concurrency"), asyncio.Event()
    harness = Harness(streamed(GOOD_STREAM[1], gate, *GOOD_STREAM[2:]), Step(), limits=(places,))
    first = asyncio.ensure_future(harness.ask(stream=True))
    while not harness.provider.sent:
        await asyncio.sleep(0)
    refused = await harness.ask()
    assert (refused.status, refused.json["error"]["code"]) == (429, "concurrency_limit_exceeded")
    assert refused.json["error"]["message"].startswith("1 of 1 parallel requests")
    assert refused.headers["retry-after"] == "1"
    gate.set()
    assert (await first).status == 200
    assert (await harness.ask()).status == 200


async def test_client_that_leaves_frees_its_place_and_keeps_its_request():
    places, requests, gate = of_tenant(1, kind="concurrency"), of_tenant(5, id="lim_r"), asyncio.Event()
    harness = Harness(streamed(GOOD_STREAM[1], gate), limits=(places, requests))
    first = asyncio.ensure_future(harness.ask(stream=True))
    while not harness.provider.sent:
        await asyncio.sleep(0)
    harness.left.set()
    await first
    assert (left(harness, places), left(harness, requests)) == (1, 4)


async def test_client_that_leaves_the_queue_costs_nothing():
    queue, requests = of_tenant(1, id="lim_q", algorithm="leaky_bucket", options={"queue": 5}), of_tenant(5)
    harness = Harness(limits=(queue, requests))
    assert (await harness.ask()).status == 200
    waiting = asyncio.ensure_future(harness.ask())
    while left(harness, requests) == 4:
        await asyncio.sleep(0)
    harness.left.set()
    await waiting
    assert left(harness, requests) == 4
    assert len(harness.provider.sent) == 1


async def test_bug_inside_frees_the_place(monkeypatch):
    places = of_tenant(1, kind="concurrency")
    harness = Harness(limits=(places,))
    monkeypatch.setattr("routing.engine.pipeline.relay", None)
    assert (await harness.ask()).status == 500
    assert left(harness, places) == 1


async def test_count_of_tokens_is_a_request_and_no_tokens():
    requests, tokens = of_tenant(10), of_tenant(100, id="lim_k", kind="tokens")
    harness = Harness(limits=(requests, tokens), channels=[channel("a")])
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert (await harness.ask(body, path="/v1/messages/count_tokens")).status == 200
    assert (left(harness, requests), left(harness, tokens)) == (9, 100)


# --- channels


async def test_channel_at_its_limit_is_passed_over():
    harness = Harness(channels=[channel("a", priority=2), channel("b")], limits=(of_channel("a", 1),))
    assert [(await harness.ask()).headers["x-routex-channel"] for _ in range(3)] == ["a", "b", "b"]
    assert [(a.channel, a.reason) for a in harness.records[1].attempts] == [("a", "limited"), ("b", "ok")]


async def test_all_channels_at_their_limits_say_when_one_is_free_again():
    harness = Harness(limits=(of_channel("a", 1),))
    await harness.ask()
    harness.now_s += 20
    refused = await harness.ask()
    assert (refused.status, refused.headers["retry-after"]) == (503, "40")
    assert "at their limits" in refused.json["error"]["message"]


async def test_failed_try_frees_its_place_at_the_channel():
    places = of_channel("a", 1, kind="concurrency")
    harness = Harness(
        Step(error=UpstreamRefused("no")), limits=(places,), channels=[channel("a", priority=2), channel("b")]
    )
    assert (await harness.ask()).status == 200
    assert left(harness, places) == 1
    assert harness.tried()[1] == ("b", "ok")


async def test_adaptive_limit_of_a_channel_hears_of_the_upstreams_429():
    adaptive = of_channel("a", 600, algorithm="adaptive", options={"burst": 10})
    harness = Harness(status(429), limits=(adaptive,), policy=PolicySpec(attempts=1, has_cooldown=False))
    assert (await harness.ask()).status == 429
    assert left(harness, adaptive) == 5
    harness.now_s += 30
    assert (await harness.ask()).status == 200


async def test_model_limit_of_a_fallback_holds_for_its_candidates():
    limit = LimitSpec(id="lim_m", scope="model", scope_id="spare", limit=0)
    channels = [channel("a", models=("m",)), channel("b", models=("spare",))]
    harness = Harness(
        status(500), channels=channels, fallbacks={"m": ("spare",)}, limits=(limit,), policy=PolicySpec(attempts=1)
    )
    assert (await harness.ask()).status == 502
    assert len(harness.provider.sent) == 1


# --- outage


class Away(MemoryStore):
    """A shared store that never answers."""

    async def get(self, key: str) -> bytes | None:
        raise StoreAway

    async def swap(self, key: str, old: bytes | None, new: bytes | None, ttl_s: float) -> tuple[bool, bytes | None]:
        raise StoreAway


@pytest.mark.parametrize(("choice", "statuses"), [("local", [200, 200, 429]), ("closed", [503, 503, 503])])
async def test_outage_takes_the_limits_own_choice(choice, statuses):
    harness = Harness(limits=(of_tenant(2, options={"on_outage": choice}),))
    store = Away(lambda: harness.now_s, is_shared=True)
    harness.gateway.store = harness.gateway.limits.store = store
    answers = [await harness.ask() for _ in range(3)]
    assert [answer.status for answer in answers] == statuses
    if choice == "closed":
        assert answers[0].json["error"]["code"] == "limits_unavailable"
