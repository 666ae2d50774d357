"""Builds the gateway once per process: snapshot source, upstream pool, record sink. Imports no Django."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from analytics.engine.ledger import Ledger
from analytics.engine.live_feed import LivePublisher
from analytics.engine.price_book import Prices
from analytics.engine.sink import RecordSink
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.upstream import HttpUpstreams
from channels_app.engine.vault import Vault
from routex_site.settings.env import Environment
from routing.engine.accounts import Accounts
from routing.engine.asgi import GatewayApp
from routing.engine.budget import Budget
from routing.engine.document import TenantDocument
from routing.engine.gateway import Gateway
from routing.engine.recovery import Upkeep
from routing.engine.ruleset import rules_of
from routing.engine.session_table import SessionTable
from routing.engine.snapshot import Snapshot, build_snapshot
from routing.engine.source import SnapshotSource
from routing.engine.stores.memory import MemoryStore
from routing.engine.stores.valkey import ValkeyStore
from tenants.engine.ids import new_id

logger = logging.getLogger("routex.wiring")

#: How long requests may finish after the process was told to stop.
DRAIN_S = 30.0
#: How long the start waits for the key directory.
START_PATIENCE_S = 5.0


@dataclass(slots=True)
class Process:
    """What one gateway process is made of, and its start and end."""

    environment: Environment
    source: SnapshotSource
    upstreams: HttpUpstreams
    sink: RecordSink
    publisher: LivePublisher | None
    upkeep: Upkeep
    gateway: Gateway
    app: GatewayApp
    session_table: SessionTable
    began_s: float = field(default_factory=time.monotonic)

    async def start(self) -> None:
        """Start everything that works beside the requests; runs on the server's loop before it listens."""
        self.source.start()
        await self.sink.start()
        self.upkeep.start()
        # So that the first request after a restart is known; without a database it listens all the same and says why.
        await self.source.wait_ready(START_PATIENCE_S)
        await self.session_table.start(START_PATIENCE_S)

    async def stop(self) -> None:
        """Refuse new requests, let running ones finish, and write what they left behind."""
        self.gateway.is_draining = True
        give_up_s = time.monotonic() + DRAIN_S
        while self.gateway.in_flight and time.monotonic() < give_up_s:  # noqa: ASYNC110 an event would cost each request
            await asyncio.sleep(0.05)
        await self.sink.close()
        await self.upkeep.stop()
        await self.session_table.stop()
        await self.gateway.limits.close()
        await self.gateway.store.close()
        if self.publisher is not None:
            await self.publisher.close()
        await self.upstreams.aclose()
        await self.source.stop()


def build_process(environment: Environment) -> Process:
    """Return the process's gateway, not started yet."""
    vault = Vault(environment.encryption_keys)
    prices = Prices()

    def build(document: TenantDocument) -> Snapshot:
        networks = environment.networks_of(document.slug, document.private_upstreams)
        snapshot = build_snapshot(
            document,
            provider=PROVIDERS.__getitem__,
            unseal=vault.unseal,
            private_networks=networks,
            prices=prices,
        )
        rules_of(snapshot)  # compiled here, or the first request would wait for it
        return snapshot

    source = SnapshotSource(environment.database_url, build, prices=prices)
    upstreams = HttpUpstreams(own_listeners=environment.own_listeners)
    publisher = LivePublisher(environment.redis_url) if environment.redis_url else None
    sink = RecordSink(
        conninfo=environment.database_url, spill_folder=environment.data_dir / "spill", publisher=publisher
    )
    folder = environment.data_dir / "quotas"
    ledger = Ledger(environment.database_url, new_id("prc"), lease_s=environment.quota_lease_s)
    accounts = Accounts(ledger, folder)
    sink.on_stored = accounts.written
    gateway = Gateway(
        configuration=source,
        upstreams=upstreams,
        records=sink,
        budget=Budget(
            accounts,
            base_url=environment.public_url,
            default_output_tokens=environment.default_output_tokens,
        ),
        max_body_bytes=environment.max_body_bytes,
        store=ValkeyStore(environment.redis_url) if environment.redis_url else MemoryStore(),
        base_url=environment.public_url,
    )
    upkeep = Upkeep(accounts, sink, folder)
    table = SessionTable(environment.database_url, gateway.sessions)
    return Process(environment, source, upstreams, sink, publisher, upkeep, gateway, GatewayApp(gateway), table)
