"""What is reserved before a request and charged after it, on every end; and what happens near the end of a quota."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from analytics.engine.ledger import Standing
from analytics.engine.record import Charge
from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamRefused
from channels_app.engine.provider import UpstreamRequest, UpstreamResponse
from channels_app.engine.rates import read_overrides
from routing.engine.budget import Budget
from routing.engine.worst_case import FORM_TOKENS, UNSEEN_TOKENS
from tenants.engine.limits import QuotaSpec
from tests.routing.engine.budgets import PRICES, Spending, usd
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.harness import GOOD_WHOLE, PATHS, Scripted, Step, chat_event, status, streamed

pytestmark = pytest.mark.asyncio

#: What GOOD_WHOLE and GOOD_STREAM cost at PRICES: five tokens in, two out.
COST = 5 * 1000 + 2 * 10_000
USD = 1_000_000_000
MESSAGES = [{"role": "user", "content": "hi"}]
BODIES = {
    "openai-chat": {"model": "m", "messages": MESSAGES, "max_completion_tokens": 500},
    "openai-responses": {"model": "m", "input": "hi", "max_output_tokens": 500},
    "anthropic": {"model": "m", "messages": MESSAGES, "max_tokens": 500},
    "openai-completions": {"model": "m", "prompt": "hi", "max_tokens": 500},
    "gemini:generateContent": {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 500}},
}


async def test_an_answer_is_charged_what_it_cost_and_the_rest_is_free_again(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    answer = await harness.ask(max_tokens=100)
    assert answer.status == 200
    [charge] = harness.record.charges
    assert charge == Charge(
        quota_id="quo_usd", window_s=harness.record.charges[0].window_s, lease_id=harness.lease.id, amount=COST
    )
    assert harness.record.cost_nano_usd == COST
    assert (harness.lease.used, harness.lease.reserved) == (COST, 0)


async def test_what_is_reserved_is_the_worst_case_and_told_in_the_decision(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    await harness.ask(max_tokens=100, n=3)
    decision = harness.record.decision
    tokens_in = (decision.worst_cost_nano_usd - 3 * 100 * 10_000) // 1000
    assert 64 <= tokens_in <= 80  # the body's bytes, which a short prompt never exceeds
    assert [(spend.name, spend.asked) for spend in decision.spends] == [
        ("tenant `acme`: monthly budget of $1.00", decision.worst_cost_nano_usd)
    ]


@pytest.mark.parametrize(
    ("step", "is_stream"),
    [
        (status(400), False),
        (status(500), False),
        (Step(error=UpstreamRefused("connect")), False),
    ],
)
async def test_an_error_is_charged_nothing(tmp_path, step, is_stream):
    harness = Spending(tmp_path, step, step, step, quotas=(usd(USD),))
    assert (await harness.ask(stream=is_stream)).status >= 400
    assert harness.record.charges == ()
    assert (harness.lease.used, harness.lease.reserved) == (0, 0)


async def test_a_client_that_leaves_pays_for_what_passed(tmp_path):
    stop = asyncio.Event()
    harness = Spending(tmp_path, streamed(chat_event("word " * 40), stop), quotas=(usd(USD),))

    async def leave(_: bytes) -> None:
        harness.left.set()

    await harness.ask(stream=True, on_write=leave)
    assert harness.record.outcome == "gone"
    assert harness.record.usage.is_estimated
    [charge] = harness.record.charges
    assert charge.amount == harness.record.cost_nano_usd == harness.lease.used
    assert harness.lease.reserved == 0


async def test_tokens_and_requests_are_counted_too(tmp_path):
    quotas = (QuotaSpec(id="q1", kind="tokens", amount=9000), QuotaSpec(id="q2", kind="requests", amount=9))
    harness = Spending(tmp_path, quotas=quotas, prices={})
    await harness.ask(max_tokens=10)
    assert [(charge.quota_id, charge.amount) for charge in harness.record.charges] == [("q1", 7), ("q2", 1)]


async def test_the_keys_own_quota_counts_and_another_keys_tag_does_not(tmp_path):
    tagged = (
        QuotaSpec(id="q2", scope="tag", scope_id="team=core", kind="requests", amount=9),
        QuotaSpec(id="q3", scope="tag", scope_id="team=rim", kind="requests", amount=0),
    )
    harness = Spending(tmp_path, quotas=tagged)
    own = (QuotaSpec(id="q1", scope="key", scope_id="key_1", kind="requests", amount=9),)
    harness.configuration.known = principal(tags={"team": "core"}, quotas=own)
    # The caller's own tags are not the key's.
    assert (await harness.ask(headers={"x-routex-tags": "team=rim"})).status == 200
    assert {charge.quota_id for charge in harness.record.charges} == {"q1", "q2"}


async def test_a_channel_that_used_its_quota_up_is_passed_over(tmp_path):
    prices = read_overrides(PRICES)
    quotas = (QuotaSpec(id="q1", scope="channel", scope_id="chn_a", kind="requests", amount=0),
              QuotaSpec(id="q2", scope="channel", scope_id="chn_b", kind="requests", amount=1))  # fmt: skip
    channels = [channel("a", prices=prices, priority=9), channel("b", prices=prices)]
    harness = Spending(tmp_path, quotas=quotas, channels=channels)
    assert (await harness.ask()).headers["x-routex-channel"] == "b"
    assert harness.tried() == [("a", "insufficient_quota"), ("b", "ok")]
    assert [charge.quota_id for charge in harness.record.charges] == ["q2"]
    harness.records.clear()
    answer = await harness.ask()
    assert (answer.status, answer.json["error"]["code"]) == (429, "insufficient_quota")
    assert harness.record.charges == ()


@pytest.mark.parametrize("operation", BODIES)
async def test_near_the_end_the_answer_is_cut_to_what_is_left(tmp_path, operation):
    harness = Spending(tmp_path, quotas=(usd(3_000_000),))
    answer = await harness.ask(BODIES[operation], path=PATHS[operation])
    sent = json.dumps(json.loads(harness.provider.sent[0].body))
    # Three thousandths of a dollar: what the prompt does not take pays for fewer than 300 tokens.
    [limit] = [
        int(number) for number in sent.replace("}", ",").replace(":", ",").split(",") if number.strip().isdigit()
    ]
    assert 200 < limit < 300
    if answer.status == 200:  # the scripted answer is Chat Completions', which not every format's reader takes
        assert answer.headers["x-routex-warnings"] == harness.record.warnings == "clamped:max_tokens"
    assert harness.lease.amount <= 3_000_000


async def test_a_request_without_a_limit_gets_one_near_the_end(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(3_000_000),))
    await harness.ask()
    assert 200 < json.loads(harness.provider.sent[0].body)["max_completion_tokens"] < 300


async def test_a_strict_request_is_refused_rather_than_cut(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(3_000_000),))
    answer = await harness.ask(max_tokens=500, headers={"x-routex-strict": "1"})
    assert answer.status == 429 and "Ask for a shorter answer" in answer.json["error"]["message"]
    assert harness.provider.sent == []
    assert harness.lease.reserved == 0


async def test_thinking_is_never_cut_below_its_own_budget(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(3_000_000),))
    body = BODIES["anthropic"] | {"thinking": {"type": "enabled", "budget_tokens": 400}}
    assert (await harness.ask(body, path=PATHS["anthropic"])).status == 402


@pytest.mark.parametrize(
    ("operation", "code"), [("openai-chat", 429), ("anthropic", 402), ("gemini:generateContent", 429)]
)
async def test_a_used_up_quota_is_told_as_every_client_understands_it(tmp_path, operation, code):
    harness = Spending(tmp_path, quotas=(usd(50 * USD),))
    harness.ledger.taken, harness.ledger.spent = 50 * USD, 50 * USD
    answer = await harness.ask(BODIES[operation], path=PATHS[operation])
    assert answer.status == code
    assert answer.headers["x-should-retry"] == "false" and "retry-after" not in answer.headers
    assert answer.headers["x-routex-quota-reset"] == "2026-12-01T00:00:00Z"
    message = answer.json["error"]["message"]
    assert message.startswith("Monthly budget of $50.00 for tenant `acme` is used up ($50.00).")
    assert "Resets Dec 1 00:00 UTC. Raise it: http://routex/t/acme/admin/tenants/quota/" in message
    assert harness.record.outcome == "refused" and harness.record.charges == ()
    assert harness.record.decision.spends[0].refused == "insufficient_quota"


async def test_what_others_have_reserved_is_no_used_up_quota(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    harness.ledger.taken = USD
    answer = await harness.ask()
    assert (answer.status, answer.json["error"]["code"]) == (429, "quota_reserved")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(("wait_s", "code"), [(5.0, None), (0.0, "quota_reserved")])
async def test_what_others_give_back_between_two_looks_is_not_called_used_up(tmp_path, wait_s, code):
    """Whenever it is drawn others hold all of it, and whenever it is looked at nobody does; then they are done."""
    harness = Spending(tmp_path, quotas=(usd(USD),), wait_s=wait_s)
    ledger = harness.ledger
    ledger.taken = USD
    looks = []

    async def standing(*which: Any) -> Standing:
        looks.append(which)
        if len(looks) == 4:
            ledger.taken = 0
        return Standing(0, 0)

    ledger.standing = standing  # type: ignore[method-assign]
    answer = await harness.ask()
    assert answer.json.get("error", {}).get("code") == code
    ledger.taken = 0
    assert (await harness.ask()).status == 200


async def test_what_others_give_back_is_waited_for(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(50_000_000),), wait_s=20)
    harness.ledger.taken = 49_000_000
    asking = asyncio.create_task(harness.ask(max_tokens=500))
    while harness.ledger.asked < 2:
        await asyncio.sleep(0)
    harness.ledger.taken = 0
    assert (await asking).status == 200
    assert json.loads(harness.provider.sent[0].body)["max_tokens"] == 500


async def test_one_after_the_other_uses_what_is_left(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(10_000_000),), wait_s=20)
    answers = await asyncio.gather(*(harness.ask(max_tokens=700) for _ in range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert harness.lease.used == 40 * COST and harness.lease.reserved == 0


async def test_of_an_answer_without_a_limit_all_that_its_model_can_write_is_reserved(tmp_path, monkeypatch):
    reserved = []
    for known in ({}, {"openai-chat": Capabilities(max_output=20_000)}):
        monkeypatch.setattr(Scripted, "capabilities", known)
        harness = Spending(tmp_path / str(len(known)), quotas=(usd(USD),))
        await harness.ask()
        reserved.append(harness.record.decision.worst_cost_nano_usd)
    assert reserved[0] // 10_000 >= 8192  # of a model of which nothing is known
    assert reserved[1] - reserved[0] == (20_000 - 8192) * 10_000


class Verbose(Scripted):
    """Writes as much as it may, or all that it can."""

    async def send(self, request: UpstreamRequest, upstreams: Any) -> UpstreamResponse:
        written = json.loads(request.body).get("max_completion_tokens", 8192)
        usage = {"prompt_tokens": 5, "completion_tokens": written, "total_tokens": 5 + written}
        self.steps = [Step(chunks=[json.dumps(json.loads(GOOD_WHOLE) | {"usage": usage}).encode()])]
        return await super().send(request, upstreams)


async def test_answers_without_a_limit_never_take_more_than_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.routing.engine.harness.Scripted", Verbose)
    harness = Spending(tmp_path, quotas=(usd(400_000_000),), wait_s=0.05)
    answers = await asyncio.gather(*(harness.ask() for _ in range(40)))
    refused = [answer.json["error"]["code"] for answer in answers if answer.status != 200]
    assert refused and set(refused) <= {"insufficient_quota", "quota_reserved"}
    assert 0.95 * 400_000_000 <= harness.lease.used <= 400_000_000


async def test_the_platform_may_reserve_less_for_answers_without_a_limit(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    harness.gateway.budget = Budget(harness.accounts, default_output_tokens=100)
    await harness.ask()
    worst = harness.record.decision.worst_cost_nano_usd
    assert worst is not None and 100 * 10_000 < worst < 101 * 10_000 + 100 * 1000


async def test_a_model_without_a_price_is_refused_under_a_money_quota(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),), prices={})
    answer = await harness.ask()
    assert (answer.status, answer.json["error"]["code"]) == (503, "unpriced_model")
    assert "Set `prices` for it on channel `a`" in answer.json["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert harness.provider.sent == []


async def test_only_channels_with_a_price_serve_under_a_money_quota(tmp_path):
    channels = [channel("free", priority=9), channel("paid", prices=read_overrides(PRICES))]
    harness = Spending(tmp_path, quotas=(usd(USD),), channels=channels)
    assert (await harness.ask()).headers["x-routex-channel"] == "paid"
    assert harness.tried() == [("free", "unpriced"), ("paid", "ok")]


async def test_without_the_ledger_what_is_drawn_may_be_used_and_nothing_else(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(30_000_000),))
    assert (await harness.ask(max_tokens=10)).status == 200
    harness.ledger.is_away = True
    assert (await harness.ask(max_tokens=10)).status == 200
    answer = await harness.ask(max_tokens=2900)
    assert (answer.status, answer.json["error"]["code"]) == (503, "ledger_away")
    assert answer.headers["retry-after"] == "2"


async def test_a_process_without_a_budget_lets_nothing_pass_uncounted(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    harness.gateway.budget = None
    assert (await harness.ask()).status == 503


async def test_counting_tokens_costs_nothing(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(0),))
    body = {"model": "m", "messages": MESSAGES}
    assert (await harness.ask(body, path="/v1/messages/count_tokens")).status == 200


async def test_a_window_that_ends_meanwhile_is_charged_all_the_same(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD, window="hour"),))
    moments = iter([1_795_000_000.0, 1_795_000_000.0 + 3600])
    harness.accounts.now_s = lambda: next(moments)
    await harness.ask()
    await harness.ask()
    first, second = (record.charges[0] for record in harness.records)
    assert second.window_s == first.window_s + 3600 and first.lease_id != second.lease_id


# --- input that nobody can see here ----------------------------------------------------------------------------------

FILE = {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}
ELSEWHERE = {
    "stored answer": ("openai-responses", {"previous_response_id": "resp_1"}),
    "stored conversation": ("openai-responses", {"conversation": {"id": "conv_1"}}),
    "linked file": ("openai-responses", {"input": [{"role": "user", "content": [
        {"type": "input_file", "file_url": "https://example.com/a.pdf"}]}]}),
    "uploaded file": ("openai-chat", FILE),
    "linked document": ("anthropic", {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]}]}),
    "cached text": ("gemini:generateContent", {"cachedContent": "cachedContents/1"}),
    "uploaded film": ("gemini:generateContent", {"contents": [{"role": "user", "parts": [
        {"fileData": {"fileUri": "https://example.com/a.mp4", "mimeType": "video/mp4"}}]}]}),
}  # fmt: skip


@pytest.mark.parametrize("what", ELSEWHERE)
async def test_input_that_lies_elsewhere_is_reserved_as_long_as_it_may_be(tmp_path, what):
    operation, members = ELSEWHERE[what]
    worst = []
    for place, more in enumerate(({}, members)):
        harness = Spending(tmp_path / str(place), quotas=(usd(USD * 10),))
        await harness.ask(BODIES[operation] | more, path=PATHS[operation])
        worst.append(harness.record.decision.worst_cost_nano_usd)
    assert worst[1] - worst[0] > 0.99 * UNSEEN_TOKENS * 1000


async def test_with_less_left_such_a_request_takes_all_of_it_and_nobody_goes_beside_it(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(20_000_000),))
    answers = await asyncio.gather(*(harness.ask(BODIES["openai-chat"] | FILE) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 429, 429, 429, 429]
    assert {answer.json["error"]["code"] for answer in answers if answer.status == 429} == {"quota_reserved"}
    assert (await harness.ask(BODIES["openai-chat"] | FILE)).status == 200
    assert harness.lease.used == 2 * COST and harness.lease.reserved == 0


async def test_a_null_refers_to_nothing(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(USD),))
    await harness.ask(BODIES["openai-responses"] | {"previous_response_id": None}, path=PATHS["openai-responses"])
    assert harness.record.decision.worst_cost_nano_usd < UNSEEN_TOKENS * 1000


@pytest.mark.parametrize(
    ("size", "says_its_length", "tokens"),
    [(1000, True, FORM_TOKENS), (160_000, True, 5000), (1000, False, FORM_TOKENS + UNSEEN_TOKENS)],
)
async def test_a_form_is_reserved_by_the_length_that_the_client_says(tmp_path, size, says_its_length, tokens):
    harness = Spending(tmp_path, quotas=(usd(USD * 10),), default_output_tokens=100)
    harness.gateway.max_body_bytes = 1_000_000
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    form = head % b"model" + b"m\r\n" + head % b"file" + b"x" * size + b"\r\n--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"} | ({} if says_its_length else {"content-length": ""})
    await harness.ask(form, path=PATHS["openai-transcription"], headers=headers)
    assert harness.record.decision.worst_cost_nano_usd == pytest.approx(tokens * 1000 + 100 * 10_000, rel=0.01)


async def test_an_answer_cut_twice_is_told_once(tmp_path):
    harness = Spending(tmp_path, quotas=(usd(3_000_000),))
    harness.provider.endpoints = {"openai-chat": "/chat"}
    harness.provider.is_genuine = False
    harness.provider.capabilities = {"openai-chat": Capabilities(max_output=100)}
    answer = await harness.ask(BODIES["openai-chat"], path=PATHS["openai-chat"])
    assert answer.status == 200
    told = answer.headers["x-routex-warnings"].split(", ")
    assert "clamped:max_tokens" in told and len(told) == len(set(told))
    assert harness.record.warnings == answer.headers["x-routex-warnings"]
