"""Call: everything known about one request so far, and the record it becomes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics.engine.copy_text import LONG_TEXT_LIMITS
from analytics.engine.pricing import Price
from analytics.engine.record import AttemptRecord, Charge, Outcome, RequestRecord, Usage
from routing.engine.account import Grant
from routing.engine.decision import Decision
from routing.engine.errors import GatewayError
from routing.engine.format import Asked, Format, Route
from routing.engine.losses import listed
from routing.engine.messages import ChatRequest
from routing.engine.snapshot import Candidate, Snapshot
from routing.engine.states import ChannelState
from routing.engine.upload import Upload
from tenants.engine.principal import Principal

#: Where clients put an id of their own, the first that is one wins, and what it may be.
_CLIENT_ID_HEADERS = (b"x-client-request-id", b"x-request-id")
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Call:
    """One request on its way through the gateway. Filled step by step; `record` reads it at the end.

    `began_s` is the monotonic clock, `started_us` the wall clock.
    """

    id: str
    format: Format
    route: Route
    headers: Mapping[bytes, bytes]
    query: Mapping[str, str]
    client_address: str = ""
    began_s: float = field(default_factory=time.perf_counter)
    started_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    body: bytes = b""
    #: The body of a request that is a form; `body` is empty then.
    upload: Upload | None = None
    principal: Principal | None = None
    snapshot: Snapshot | None = None
    asked: Asked | None = None
    #: Operations that can answer it, the client's own first; and whether these are a conversation to go on with.
    operations: tuple[str, ...] = ()
    is_conversation: bool = False
    #: The request in canonical form, once a candidate needed it.
    conversation: ChatRequest | None = None
    session_id: str = ""
    #: The id that its beginning gives it, once somebody needed one that the client did not send; see `session.py`.
    begun_id: str | None = None
    #: Under which session and model the channel that answers is remembered.
    session_name: tuple[str, str] | None = None
    #: The channel whose answer is not over.
    in_flight: ChannelState | None = None
    #: About how many tokens its input has, once `estimate.input_tokens` was asked.
    input_tokens: int | None = None
    #: How many tokens its messages have, by counters that rules asked.
    counts: dict[str, int] = field(default_factory=dict)
    decision: Decision = field(default_factory=Decision)
    #: Parts of the decision that are put into words only when somebody reads them.
    untold: list[Callable[[], None]] = field(default_factory=list)
    #: What it took from limits, and what the client is told of these.
    grants: list[Grant] = field(default_factory=list)
    limited_by: Sequence[Grant] = ()
    #: Tries and channels passed over, in order; `tries` counts the former.
    attempts: list[AttemptRecord] = field(default_factory=list)
    tries: int = 0
    served_by: Candidate | None = None
    #: Who was asked last.
    sent_to: Candidate | None = None
    #: The format that the answer came in, and what translation could not carry whole.
    upstream_format: str = ""
    warnings: tuple[str, ...] = ()
    #: What was lowered in the request itself before anybody tried it, in the words of warnings.
    clamps: tuple[str, ...] = ()
    #: What is reserved for it from quotas, until it is settled into `charges`.
    reservations: list[Any] = field(default_factory=list)
    charges: tuple[Charge, ...] = ()
    quota_waited_ms: float = 0.0
    status: int = 0
    outcome: Outcome = "answered"
    error: GatewayError | None = None
    usage: Usage | None = None
    #: About how many tokens of an answer went by that did not say itself how many there are.
    passed_tokens: int = 0
    #: What the model of `served_by` costs, and what the request did; None when nobody knows.
    price: Price | None = None
    cost_nano_usd: int | None = None
    reported_model: str = ""
    #: From the request's coming in until its first try: reading the body, and loading a tenant on its first use.
    queue_ms: float = 0.0
    connect_ms: float = 0.0
    first_token_ms: float | None = None
    response_bytes: int = 0

    def header(self, name: bytes) -> str:
        """Return a request header by its lower-case name, or an empty string."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def client_request_id(self) -> str:
        """Return the client's own id of the request, "" where it gave none that can be told from anything else."""
        for name in _CLIENT_ID_HEADERS:
            value = self.headers.get(name)
            if value is not None and _CLIENT_ID.fullmatch(value):
                return value.decode("ascii")
        return ""

    @property
    def is_strict(self) -> bool:
        """Whether the client would rather have an error than lose anything."""
        return self.header(b"x-routex-strict").strip().lower() in {"1", "true"}

    @property
    def is_dry_run(self) -> bool:
        """Whether the client asks what would become of the request, and not for an answer."""
        return self.header(b"x-routex-dry-run").strip().lower() in {"1", "true"}

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the request came in."""
        return (time.perf_counter() - self.began_s) * 1000

    def tell(self) -> Decision:
        """Return the decision with everything in words."""
        for part in self.untold:
            part()
        self.untold.clear()
        return self.decision

    def record(self) -> RequestRecord | None:
        """Return what the request leaves behind; None for one whose tenant is not known."""
        if self.principal is None:
            return None
        asked, served, error = self.asked, self.served_by, self.error
        total_ms = self.elapsed_ms()
        return RequestRecord(
            id=self.id,
            tenant_id=self.principal.tenant_id,
            key_id=self.principal.key_id,
            key_slug=self.principal.key_slug,
            session_id=self.session_id,
            client_request_id=self.client_request_id,
            operation=self.route.operation,
            client_format=self.format.name,
            upstream_format=self.upstream_format,
            charges=self.charges,
            warnings=listed(self.warnings, LONG_TEXT_LIMITS["warnings"]),
            asked_model=asked.model if asked else "",
            public_model=served.public_model if served else "",
            upstream_model=served.upstream_model if served else "",
            reported_model=self.reported_model,
            channel_id=served.channel.spec.id if served else "",
            channel_slug=served.channel.spec.slug if served else "",
            provider=served.channel.spec.provider if served else "",
            attempts=tuple(self.attempts),
            decision=self.tell() if self.decision.asked_model else None,
            is_stream=asked.is_stream if asked else False,
            status=self.status,
            outcome=self.outcome,
            error_code=error.code if error else "",
            # A syntax error quotes a few characters of the body, which belongs to the caller and not in the log.
            error_message=error.message.partition(" Near:")[0] if error else "",
            usage=self.usage,
            cost_nano_usd=self.cost_nano_usd,
            price_version=self.price.version if self.price and self.cost_nano_usd is not None else "",
            started_us=self.started_us,
            finished_us=self.started_us + int(total_ms * 1000),
            queue_ms=self.queue_ms,
            connect_ms=self.connect_ms,
            first_token_ms=self.first_token_ms,
            total_ms=total_ms,
            request_bytes=len(self.body) if self.upload is None else self.upload.size,
            response_bytes=self.response_bytes,
            client_address=self.client_address,
            user_agent=self.header(b"user-agent")[:200],
        )
