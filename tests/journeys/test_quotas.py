"""A money quota under more requests than it pays for: never exceeded, nearly all of it used, all of it found again."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tenants.services import quota_set
from tests.journeys.processes import Gateway, Upstream, eventually, open_raw
from tests.journeys.tenants import Customer, as_bytes, chat, make_customer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

USD = 1_000_000_000
PROCESSES = 4
REQUESTS = 500
#: About 400 tokens of prompt and as many of answer: some 0.5 cents, so that one dollar pays for two in five.
TEXT = "word " * 320
PRICES = {"*": {"input_usd_per_mtok": "2", "output_usd_per_mtok": "10"}}
LEASE_S = "2"
HELD = 10

_numbers = itertools.count(1)


@pytest.fixture
def spender(cast: Any, upstream: Upstream) -> Customer:
    """A tenant with one dollar, and a channel whose models cost something."""
    customer = make_customer(f"spender-{next(_numbers)}-{os.getpid()}")
    customer.add_channel(upstream, "priced", "openai", ["paid-*", "gpt-5.6-*"], prices=PRICES)
    with customer.scope():
        quota_set(tenant_id=customer.id, kind="usd", amount=USD, window="ever")
    return customer


@pytest.fixture
def gateways(tmp_path: Path, spender: Customer) -> Iterator[list[Gateway]]:
    """Four gateways of one host: they share a data folder."""
    shared = {"ROUTEX_DATA_DIR": str(tmp_path / "data"), "ROUTEX_QUOTA_LEASE_S": LEASE_S}
    with ThreadPoolExecutor(PROCESSES) as starters:
        running = list(starters.map(lambda number: Gateway(tmp_path, f"gateway{number}", **shared), range(PROCESSES)))
    yield running
    with ExitStack() as stack:
        for each in running:
            if each.process.poll() is None:
                stack.callback(each.stop)


def ledger(customer: Customer, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('app.tenant', '*', false)")
        return connection.execute(statement, [customer.id]).fetchall()


def spent(customer: Customer) -> int:
    """Return what the ledger says is spent."""
    return sum(
        row["spent"]
        for row in ledger(
            customer,
            "SELECT settled + abandoned + written_off AS spent FROM quota_lease WHERE tenant_id = %s",
        )
    )


def charges(customer: Customer, kind: str) -> int:
    statement = "SELECT amount, kind FROM quota_charge WHERE tenant_id = %s"
    return sum(row["amount"] for row in ledger(customer, statement) if row["kind"] == kind)


def recorded(customer: Customer) -> dict[str, int]:
    """Return what the records cost, by outcome."""
    statement = "SELECT outcome, cost_nano_usd AS cost FROM analytics_requestrecord WHERE tenant_id = %s"
    found: Counter[str] = Counter()
    for row in ledger(customer, statement):
        found[row["outcome"]] += row["cost"] or 0
    return dict(found)


def upstream_cost(upstream: Upstream, model: str) -> int:
    """Return what the upstream would bill, from what it told itself."""
    usages = [line["usage"] for line in upstream.seen(model) if "usage" in line]
    return sum(usage["prompt_tokens"] * 2000 + usage["completion_tokens"] * 10_000 for usage in usages)


async def ask_once(gateway: Gateway, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask over a connection of its own, with as little work as can be; raises OSError when it breaks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        data = as_bytes(body)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        answer = await reader.read()
        if b"\r\n\r\n{" not in answer:
            raise ConnectionResetError("no answer")
        told: dict[str, Any] = json.loads(answer[answer.index(b"\r\n\r\n{") :])
        return told
    finally:
        writer.close()


async def ask_all(
    gateways: list[Gateway],
    key: str,
    model: str,
    count: int = REQUESTS,
    on_answer: Callable[[Gateway], None] = lambda gateway: None,
    **asked: Any,
) -> Counter[str]:
    """Ask so many times at once, spread over the gateways; return how often each end was met."""
    ends: Counter[str] = Counter()

    async def ask(number: int) -> None:
        gateway = gateways[number % len(gateways)]
        try:
            answer = await ask_once(gateway, key, chat(model, f"{number} {TEXT}", **(asked or {"max_tokens": 450})))
        except OSError:
            ends["broken"] += 1
            return
        ends[answer.get("error", {}).get("code", "answered")] += 1
        if "error" not in answer:
            on_answer(gateway)

    await asyncio.gather(*(ask(number) for number in range(count)))
    return ends


def everything_is_written(customer: Customer, *running: Gateway) -> None:
    def is_written() -> bool:
        states = [each.health["records"] for each in running]
        return not any(state["waiting"] or state["spill_bytes"] for state in states)

    eventually(is_written, "all records are written")


@pytest.mark.parametrize("name", ["paid", "gpt-5.6"])
def test_500_parallel_requests_over_4_processes_use_one_dollar_and_no_more(gateways, spender, upstream, name):
    model = f"{name}-{spender.slug}"
    # Without a limit, one answer of the second model might take more than the dollar: they go one at a time.
    asked = {"temperature": 1} if name == "gpt-5.6" else {}
    ends = asyncio.run(ask_all(gateways, spender.key, model, **asked))
    everything_is_written(spender, *gateways)
    total = spent(spender)
    print(f"\n{dict(ends)}; spent {total / USD:.6f} of 1 USD, answered {recorded(spender)}")
    assert set(ends) <= {"answered", "insufficient_quota", "quota_reserved"}
    assert 0.95 * USD <= total <= USD
    assert total == charges(spender, "settled") == sum(recorded(spender).values()) == upstream_cost(upstream, model)


def hold(gateway: Gateway, customer: Customer, upstream: Upstream, count: int) -> list[socket.socket]:
    """Begin answers that stay in the middle, and return their connections."""
    before = upstream.held
    body = as_bytes(chat(f"paid-{customer.slug}+held", TEXT, max_tokens=450, stream=True))
    held = [open_raw(gateway.port, "/v1/chat/completions", body, customer.key) for _ in range(count)]
    eventually(lambda: upstream.held == before + count, "the upstream holds the answers")
    return held


def test_a_process_killed_in_the_middle_leaves_its_requests_charged_and_the_rest_usable(gateways, spender, upstream):
    model = f"paid-{spender.slug}"
    answers = itertools.count(1)
    victim, *living = gateways
    held = hold(victim, spender, upstream, HELD)

    def kill_in_the_middle(gateway: Gateway) -> None:
        if gateway is victim and next(answers) == 5:
            os.kill(victim.process.pid, signal.SIGKILL)

    ends = asyncio.run(ask_all(gateways, spender.key, model, on_answer=kill_in_the_middle))
    victim.process.wait(10)
    for each in held:
        each.close()
    eventually(lambda: recorded(spender).get("abandoned"), "the dead process's requests are charged", 30)
    # What it held and did not spend is there for others.
    more = asyncio.run(ask_all(living, spender.key, model, count=100))
    everything_is_written(spender, *living)
    total, settled, abandoned = spent(spender), charges(spender, "settled"), charges(spender, "abandoned")
    told = recorded(spender)
    print(f"\n{dict(ends)} then {dict(more)}; spent {total / USD:.6f}, abandoned {abandoned / USD:.6f}, records {told}")
    assert ends["broken"] > 0
    assert 0.95 * USD <= total <= USD
    assert total == settled + abandoned == sum(told.values())
    # Whatever the upstream did for requests that died is covered by what was reserved for them.
    assert settled <= upstream_cost(upstream, model) <= total
    # Those that had been answered, and whose records died with the process, are charged what they took.
    assert told["abandoned"] >= abandoned >= HELD * 450 * 10_000
