"""Gateway: what one process brings to every request; built once by wiring, passed as an argument."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from analytics.engine.record import RequestRecord
from channels_app.engine.provider import Upstreams
from routing.engine.budget import Budget
from routing.engine.catalogue import CATALOGUE
from routing.engine.lastturns import LastTurns
from routing.engine.limits import Limits
from routing.engine.memory import StateMemory
from routing.engine.probing import Probing
from routing.engine.sessions import Sessions
from routing.engine.snapshot import Snapshot
from routing.engine.states import ChannelStates
from routing.engine.store import Store
from routing.engine.stores.memory import MemoryStore
from tenants.engine.principal import Principal

#: Where the gateway of the process lies in the ASGI scope of the console's requests, for the simulator.
SCOPE_KEY = "routex.gateway"


class Configuration(Protocol):
    """Where principals and snapshots come from; `routing.engine.source` implements it over PostgreSQL."""

    @property
    def is_ready(self) -> bool:
        """Whether the key directory is here; before that nobody can be known."""
        ...

    def principal(self, digest: bytes) -> Principal | None:
        """Return the principal of a key's digest, or None when there is no such key."""
        ...

    def snapshot(self, tenant_id: str) -> Snapshot | None:
        """Return a loaded tenant's newest snapshot, or None when it is not loaded yet."""
        ...

    async def load(self, tenant_id: str) -> Snapshot | None:
        """Load a tenant on first use; None when it has no snapshot or the database is away."""
        ...


class Records(Protocol):
    """Takes records without ever blocking; `analytics.engine.sink` implements it."""

    def put(self, record: RequestRecord) -> object:
        """Hand a record over."""
        ...


@dataclass(slots=True)
class Gateway:
    """One process's gateway. `clock` is monotonic seconds; tests pass their own clock and chance."""

    configuration: Configuration
    upstreams: Upstreams
    records: Records
    max_body_bytes: int = 32 * 1024 * 1024
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    states: ChannelStates = field(default_factory=ChannelStates)
    memory: StateMemory = field(default_factory=StateMemory)
    last_turns: LastTurns = field(default_factory=LastTurns)
    #: None: requests that any quota counts are refused, for nobody counts them here.
    budget: Budget | None = None
    #: Longest the head of a stream is held back while an early error could still fail over (ADR 7).
    commit_after_s: float = 10.0
    #: Silence in a stream after which a heartbeat goes out.
    heartbeat_s: float = 15.0
    #: The address that people type, without a slash at its end; "" keeps links relative.
    base_url: str = ""
    #: What many processes share, and the limits that are counted in it.
    store: Store = field(default_factory=MemoryStore)
    limits: Limits = field(init=False)
    in_flight: int = 0
    #: From when on one more conversation is read for replays, by `clock`.
    reads_on_s: float = 0.0
    is_draining: bool = False
    sessions: Sessions = field(init=False)
    probing: Probing = field(init=False)

    def __post_init__(self) -> None:
        self.limits = Limits(self.store)
        self.sessions = Sessions(self.store)
        self.probing = Probing(self.store)

    def docs_of(self, code: str) -> str:
        """Return where a code is explained; "" for an upstream's own."""
        return f"{self.base_url}/errors/{code}" if code in CATALOGUE else ""
