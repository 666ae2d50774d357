"""What an answer says it cost is what its record says, in every format; and a new price counts from then on."""

from __future__ import annotations

import pytest

from channels_app.models import Channel
from tenants.engine.money import usd_text
from tenants.services import config_touch
from tests.journeys.processes import eventually
from tests.journeys.tenants import as_bytes, chat, make_customer
from tests.journeys.test_records import ANSWERED, STREAMED, filled, record_of

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = {"*": {"input_usd_per_mtok": "3", "output_usd_per_mtok": "15"}}
CHATS = [name for name in ANSWERED if name in {"openai-chat", "openai-responses", "anthropic"} or "generate" in name]


@pytest.fixture(scope="module")
def payer(upstream, cast, django_db_blocker):
    """A tenant whose channels have prices."""
    with django_db_blocker.unblock():
        customer = make_customer("payer", attempts=1, has_cooldown=False)
        for provider in ("openai", "anthropic", "gemini"):
            models = [f"{provider}-*"]
            customer.add_channel(upstream, f"{provider}-priced", provider, models, prices=PRICES)
        return customer


def model_for(operation: str) -> str:
    return {"a": "anthropic-m", "g": "gemini-m"}.get(operation[0], "openai-m")


@pytest.mark.parametrize("operation", CHATS)
def test_a_whole_answer_says_what_its_record_says(gateway, payer, operation):
    path, body = filled(ANSWERED[operation], model_for(operation))
    answer = gateway.ask(path, body, key=payer.key)
    record = record_of(payer, answer)
    assert record.cost_nano_usd == record.input_tokens * 3000 + record.output_tokens * 15_000 > 0
    assert answer.headers["x-routex-cost-usd"] == usd_text(record.cost_nano_usd)
    assert record.price_version.startswith("channel:")


@pytest.mark.parametrize("operation", STREAMED)
def test_a_stream_costs_what_its_last_report_says(gateway, payer, operation):
    path, body = filled(STREAMED[operation], model_for(operation))
    record = record_of(payer, gateway.ask(path, body, key=payer.key))
    assert record.cost_nano_usd == record.input_tokens * 3000 + record.output_tokens * 15_000 > 0
    assert record.usage_details == {}


@pytest.mark.parametrize("operation", STREAMED)
def test_a_translated_stream_costs_the_same(gateway, payer, operation):
    other = {"a": "gemini-m", "g": "openai-m"}.get(operation[0], "anthropic-m")
    path, body = filled(STREAMED[operation], other)
    record = record_of(payer, gateway.ask(path, body, key=payer.key))
    assert record.upstream_format != operation.partition(":")[0]
    assert record.cost_nano_usd == record.input_tokens * 3000 + record.output_tokens * 15_000 > 0


@pytest.mark.parametrize("fault", ["cut", "error"])
@pytest.mark.parametrize("operation", STREAMED)
def test_a_broken_stream_is_charged_at_an_estimate(gateway, payer, operation, fault):
    path, body = filled(STREAMED[operation], f"{model_for(operation)}+{fault}")
    record = record_of(payer, gateway.ask(path, body, key=payer.key))
    assert record.outcome == "cut"
    assert record.cost_nano_usd == record.input_tokens * 3000 + record.output_tokens * 15_000 > 0


def test_a_price_that_changes_counts_from_then_on_and_not_for_what_was(gateway, payer, upstream):
    # A channel of its own: the other tests come in any order and must not meet the new price.
    payer.add_channel(upstream, "repriced", "openai", ["repriced-*"], prices=PRICES)

    def ask():
        return gateway.ask("/v1/chat/completions", as_bytes(chat("repriced-m")), key=payer.key)

    # The gateway may have read the tenant before the channel was there.
    before = eventually(lambda: (answer := ask()).status == 200 and answer, "the channel is live")
    with payer.scope():
        Channel.objects.filter(slug="repriced").update(prices={"*": PRICES["*"] | {"multiplier": "2"}})
        config_touch(tenant_id=payer.id)
    was = record_of(payer, before).cost_nano_usd
    after = eventually(
        lambda: (answer := ask()).headers["x-routex-cost-usd"] != usd_text(was) and answer, "the new price is live"
    )
    assert record_of(payer, after).cost_nano_usd == 2 * was
    assert record_of(payer, before).cost_nano_usd == was
