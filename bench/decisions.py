"""What it costs to decide where a request goes, step by step in this process: rules, limits, quotas, the order."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from analytics.engine.ledger import Drawn
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.rates import read_overrides
from routex_site.embedded import valkey
from routing.engine.accounts import Accounts
from routing.engine.admission import admit_by_limits, settle_limits
from routing.engine.budget import Budget
from routing.engine.call import Call
from routing.engine.choosing import choose
from routing.engine.document import ChannelSpec, CredentialSpec, ModelSpec, PolicySpec, RuleSpec, TenantDocument
from routing.engine.format import Format
from routing.engine.formats import FORMATS
from routing.engine.gateway import Gateway
from routing.engine.operations import answering
from routing.engine.ordering import Ordering
from routing.engine.snapshot import Candidate, Snapshot, build_snapshot
from routing.engine.store import Store
from routing.engine.stores.memory import MemoryStore
from routing.engine.stores.valkey import ValkeyStore
from tenants.engine.limits import LimitSpec, QuotaSpec
from tenants.engine.principal import Principal

BATCH = 200
REPEATS = 30
MODEL = "bench-1"
#: How much CPU time a whole decision may take, and how often the shared counters may be asked for one.
GOAL_US, GOAL_TRIPS = 60.0, 0.2
#: Far more than the bench asks for.
PLENTY = 10**12


def _body(system: str) -> bytes:
    said = {"role": "user", "content": "Please tell me how far the harbour is from here. " * 6}
    return json.dumps({"model": MODEL, "messages": [{"role": "system", "content": system}, said]}).encode()


_PLAIN = _body("You are a kind assistant. " * 3)
#: A rule's keyword stands where no rule looks for it: each rule on texts and lengths has to be asked.
_AMBIGUOUS = _body("You are a kind assistant. You deploy 4 answers. " * 2)


@dataclass(slots=True)
class Costs:
    """CPU microseconds a request, by step, and round trips to Valkey."""

    steps: dict[str, float] = field(default_factory=dict)
    trips: float = float("nan")

    @property
    def whole(self) -> float:
        """Return the cost of the whole decision."""
        return sum(self.steps.values())


class FullLedger:
    """A ledger with money enough for everybody: what a slice costs is not this bench's question."""

    process, lease_s = "prc_bench", 60.0

    async def draw(self, *, floor: int, want: int, **_: Any) -> Drawn:
        """Grant what is wanted."""
        return Drawn(max(floor, want, PLENTY), PLENTY)


def _rules(count: int) -> tuple[RuleSpec, ...]:
    """Return rules of five kinds that all miss but the last: what a platform team's list looks like at its worst."""
    kinds: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"modelPattern": f"opus-{n}"},
        lambda n: {"keyTag": {"team": f"team-{n}"}},
        lambda n: {"header": {"x-team": f"team-{n}"}},
        lambda n: {"tokenThreshold": 50_000 + n},
        lambda n: {"keywords": [f"deploy {n}", f"plan {n}"]},
    ]
    asked = [RuleSpec(slug=f"rule-{n}", condition=kinds[n % 5](n), targets=({"tag": "prod"},), priority=count - n)
             for n in range(count - 1)]  # fmt: skip
    return (*asked, RuleSpec(slug="last", type="default", targets=({"tag": "prod"},), priority=0))


def _snapshot(*, rules: int, channels: int, limits: int, quotas: int) -> Snapshot:
    prices = read_overrides({"*": {"input_usd_per_mtok": "1", "output_usd_per_mtok": "4"}})
    document = TenantDocument(
        version=1,
        tenant_id="ten_bench",
        slug="bench",
        policy=PolicySpec(strategy="weighted", is_session_enabled=False),
        channels=tuple(
            ChannelSpec(
                id=f"chn_{n}", slug=f"channel-{n}", provider="openai", base_url="", weight=1 + n % 3, tags=("prod",),
                credentials=(CredentialSpec("main", "x"),), models=(ModelSpec(MODEL, MODEL),), prices=prices,
            )
            for n in range(channels)
        ),
        rules=_rules(rules) if rules else (),
        limits=tuple(
            LimitSpec(id=f"lim_{n}", kind="tokens" if n == 2 else "requests", limit=PLENTY // 10**3, window_s=60 + n)
            for n in range(limits)
        ),
        quotas=tuple(
            QuotaSpec(id=f"quo_{n}", kind="usd" if n else "tokens", amount=PLENTY * 10**4, window="month")
            for n in range(quotas)
        ),
    )  # fmt: skip
    return build_snapshot(document, provider=PROVIDERS.__getitem__, unseal=lambda _: "secret")


def _calls(snapshot: Snapshot, form: Format, principal: Principal, body: bytes) -> list[Call]:
    """Return requests that are read and not decided about yet."""
    made = []
    for _ in range(BATCH):
        route = form.route("/v1/chat/completions")
        assert route is not None
        call = Call("req_bench", form, route, {b"user-agent": b"bench"}, {}, body=body)
        call.principal, call.snapshot = principal, snapshot
        call.asked = form.read_request(route, {}, body)
        call.operations, call.is_conversation = answering(route.operation, False), True
        made.append(call)
    return made


async def _measure(snapshot: Snapshot, store: Store, folder: Path, body: bytes = _PLAIN) -> Costs:
    accounts = Accounts(FullLedger(), folder)  # type: ignore[arg-type]
    gateway = Gateway(configuration=None, upstreams=None, records=None, store=store, budget=Budget(accounts))  # type: ignore[arg-type]
    form, principal = FORMATS["openai-chat"], Principal(tenant_id="ten_bench", key_id="key_bench", key_slug="bench")
    costs = Costs()
    trips: list[float] = []
    for _ in range(REPEATS):
        calls = _calls(snapshot, form, principal, body)
        before = getattr(store, "trips", 0)
        chosen: list[list[list[Candidate]]] = []

        async def rules(call: Call, at: int) -> None:
            chosen.append(choose(call, gateway))  # noqa: B023 used within this round

        async def limits(call: Call, at: int) -> None:
            await admit_by_limits(call, gateway, chosen[at])  # noqa: B023 as above

        async def quotas(call: Call, at: int) -> None:
            assert gateway.budget is not None
            await gateway.budget.reserve(call, chosen[at])  # noqa: B023 as above

        async def order(call: Call, at: int) -> None:
            await Ordering(call, gateway, snapshot).order(chosen[at][0])  # noqa: B023 as above

        async def settled(call: Call, at: int) -> None:
            assert gateway.budget is not None
            settle_limits(call)
            gateway.budget.settle(call)

        for name, step in (
            ("rules and candidates", rules), ("limits", limits), ("quotas", quotas), ("order", order),
            ("settling", settled),
        ):  # fmt: skip
            took = await _timed(step, calls)
            costs.steps[name] = min(costs.steps.get(name, took), took)
        trips.append((getattr(store, "trips", 0) - before) / BATCH)
        await asyncio.sleep(0)
    if isinstance(store, ValkeyStore):
        costs.trips = sum(trips) / len(trips)
    await gateway.limits.close()
    return costs


async def _timed(step: Callable[[Call, int], Awaitable[None]], calls: list[Call]) -> float:
    began = time.thread_time_ns()
    for at, call in enumerate(calls):
        await step(call, at)
    return (time.thread_time_ns() - began) / 1000 / BATCH


def measure() -> dict[str, Costs]:
    """Return the costs by what there is to decide."""
    figures: dict[str, Costs] = {}
    sizes = {"nothing to decide": (0, 1, 0, 0), "100 rules, 50 channels, 3 limits, 2 quotas": (100, 50, 3, 2)}
    with tempfile.TemporaryDirectory(prefix="routex-bench-") as name:
        folders = (Path(name) / str(number) for number in itertools.count())
        for label, (rules, channels, limits, quotas) in sizes.items():
            snapshot = _snapshot(rules=rules, channels=channels, limits=limits, quotas=quotas)
            figures[label] = asyncio.run(_measure(snapshot, MemoryStore(), _made(folders)))
        label = "the same, with a rule's keyword in the system prompt"
        figures[label] = asyncio.run(_measure(snapshot, MemoryStore(), _made(folders), _AMBIGUOUS))
        server = valkey.start(Path(name))
        try:
            figures["the same, counted in Valkey"] = asyncio.run(_shared(snapshot, server.url, _made(folders)))
        finally:
            server.stop()
    return figures


async def _shared(snapshot: Snapshot, url: str, folder: Path) -> Costs:
    store = ValkeyStore(url)
    try:
        return await _measure(snapshot, store, folder)
    finally:
        await store.close()


def _made(folders: Any) -> Path:
    folder: Path = next(folders)
    folder.mkdir()
    return folder


def table(figures: dict[str, Costs]) -> Table:
    """Return one row for each thing to decide."""
    title = f"CPU µs of one decision (least of {REPEATS} rounds; goal {GOAL_US:.0f}), Valkey trips (goal {GOAL_TRIPS})"
    shown = Table(title=title)
    steps = list(next(iter(figures.values())).steps)
    for column in ("", *steps, "whole", "trips/request"):
        shown.add_column(column, justify="left" if not column else "right")
    for label, costs in figures.items():
        trips = "–" if costs.trips != costs.trips else f"{costs.trips:.3f}"
        shown.add_row(label, *(f"{costs.steps[step]:.1f}" for step in steps), f"{costs.whole:.1f}", trips)
    return shown
