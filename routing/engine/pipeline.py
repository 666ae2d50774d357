"""One request in eight verbs: authenticate, admit, parse, route, spend, attempt, relay, settle."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from routing.engine.admission import admit_by_limits, settle_limits
from routing.engine.attempts import Attempt
from routing.engine.call import Call
from routing.engine.choosing import choose, note_turn, prepare
from routing.engine.compression import decompressed, is_plain
from routing.engine.counting import serve_count
from routing.engine.errors import Forbidden, Unauthenticated, Unavailable
from routing.engine.facts import observe
from routing.engine.format import Asked
from routing.engine.gateway import Gateway
from routing.engine.operations import answering, is_conversation, is_count
from routing.engine.rating import rate
from routing.engine.relay import Reply, relay
from routing.engine.sending import Committed
from routing.engine.session import session_id
from routing.engine.snapshot import Candidate, Snapshot
from routing.engine.upload import Upload
from tenants.engine import keys
from tenants.engine.principal import Principal


class Incoming(Protocol):
    """The request's body."""

    async def read_body(self) -> bytes:
        """Return all of it."""
        ...

    def open_upload(self) -> Upload:
        """Begin to receive it as a form; should that fail, the request is cancelled and told why."""
        ...


async def serve(call: Call, gateway: Gateway, incoming: Incoming, reply: Reply) -> None:
    """Answer one request; raises GatewayError for whatever must be refused."""
    call.principal = authenticate(call, gateway)
    await admit(call, gateway)
    await parse(call, incoming, gateway.max_body_bytes)
    await prepare(call)
    groups = route(call, gateway)
    groups = await spend(call, gateway, groups)
    call.queue_ms = call.elapsed_ms()
    if is_count(call.route.operation):
        await serve_count(call, gateway, groups, reply)
        return
    answer = await attempt(call, gateway, groups)
    call.served_by, call.upstream_format = answer.candidate, answer.passage.format
    await relay(call, answer, reply, gateway)


def authenticate(call: Call, gateway: Gateway) -> Principal:
    """Return who is calling.

    Raises:
        Unauthenticated: no key, or one that is malformed, foreign, unknown, expired, disabled or revoked.
        Forbidden: the key may not be used from where the request came.
        Unavailable: this process has not read the key directory yet.
    """
    secret = presented_key(call)
    if not secret:
        raise Unauthenticated(
            "No API key. Send it as `Authorization: Bearer rtx_…` (or `x-api-key`). "
            f"Create one at {gateway.base_url}/keys/.",
            code="missing_api_key",
        )
    if not keys.is_well_formed(secret):
        raise _malformed(secret)
    if not gateway.configuration.is_ready:
        raise Unavailable("Routex is starting: its keys are not loaded yet. Try again in a moment.")
    principal = gateway.configuration.principal(keys.digest(secret))
    if principal is None:
        raise Unauthenticated(
            f"Unknown API key `rtx_…{secret[-4:]}`. It may be mistyped or deleted. Keys: {gateway.base_url}/keys/."
        )
    check_key(principal, gateway.base_url)
    check_address(principal, call.client_address)
    return principal


def check_key(principal: Principal, base_url: str) -> None:
    """Raise Unauthenticated for a key that is disabled, revoked or expired."""
    if principal.state != "active":
        raise Unauthenticated(
            f"Key `{principal.key_slug}` is {principal.state}. Ask an admin of your tenant for another.",
            code="api_key_revoked" if principal.state == "revoked" else "api_key_disabled",
        )
    if principal.expires_at_s is not None and principal.expires_at_s <= time.time():
        when = datetime.fromtimestamp(principal.expires_at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        raise Unauthenticated(
            f"Key `{principal.key_slug}` expired on {when}. Rotate it at {base_url}/keys/.",
            code="api_key_expired",
        )


def check_address(principal: Principal, client_address: str) -> None:
    """Raise Forbidden for a key that is limited to networks in which this address does not lie."""
    if principal.networks is not None and (why := principal.why_not_from(client_address)):
        raise Forbidden(why, code="ip_not_allowed")


def presented_key(call: Call) -> str:
    """Return the key of a request, from wherever official SDKs put it; `?key=` only where the format has it."""
    authorization = call.header(b"authorization")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return (
        call.header(b"x-api-key")
        or call.header(b"x-goog-api-key")
        or (call.query.get("key", "") if call.format.takes_key_in_query else "")
    )


def _malformed(secret: str) -> Unauthenticated:
    owner = keys.foreign_owner(secret)
    if owner:
        return Unauthenticated(
            f"This looks like {owner}. Routex needs its own key, which starts with `rtx_`.", code="foreign_api_key"
        )
    if secret.startswith(keys.MANAGEMENT_TOKEN):
        return Unauthenticated(
            "This is a management token, for /api only. The gateway needs a tenant key (`rtx_…`).",
            code="foreign_api_key",
        )
    if secret.startswith(keys.GATEWAY_KEY):
        return Unauthenticated(
            "This is not a complete Routex key (checksum differs): it was probably cut when copied. Copy it again.",
            code="malformed_api_key",
        )
    return Unauthenticated("This is no Routex key: those start with `rtx_`.", code="malformed_api_key")


async def admit(call: Call, gateway: Gateway) -> None:
    """Load the tenant's configuration and let an active tenant through.

    Raises:
        Forbidden: the tenant is suspended.
        Unavailable: its configuration cannot be had.
    """
    assert call.principal is not None
    configuration = gateway.configuration
    tenant_id = call.principal.tenant_id
    snapshot = configuration.snapshot(tenant_id) or await configuration.load(tenant_id)
    if snapshot is None:
        raise Unavailable("This tenant's configuration cannot be loaded right now. Try again in a moment.")
    check_tenant(snapshot)
    call.snapshot = snapshot


def check_tenant(snapshot: Snapshot) -> None:
    """Raise Forbidden for a tenant that is suspended."""
    if snapshot.document.is_suspended:
        reason = snapshot.document.suspended_reason.rstrip(".") or "no reason was given"
        raise Forbidden(
            f"Tenant `{snapshot.document.slug}` is suspended: {reason}. Contact whoever runs this Routex.",
            code="tenant_suspended",
        )


async def parse(call: Call, incoming: Incoming, max_body_bytes: int) -> None:
    """Take the body in and read what routing needs of it; the rest stays bytes, and a form goes on arriving."""
    if call.format.takes_form:
        call.upload = incoming.open_upload()
        call.asked = Asked(await call.upload.model())
    else:
        call.body = await incoming.read_body()
        encoding = call.headers.get(b"content-encoding", b"")
        if not is_plain(encoding):
            call.body = decompressed(call.body, encoding, max_body_bytes)
    understand(call)


def understand(call: Call) -> None:
    """Read what routing needs of a request whose body is there.

    Raises:
        BadRequest: the body is not what its path takes.
    """
    if call.asked is None:
        call.asked = call.format.read_request(call.route, call.query, call.body)
    call.decision.asked_model = call.asked.model
    call.session_id = session_id(call.headers, call.asked.session_hint)
    call.operations = answering(call.route.operation, call.asked.is_stream)
    call.is_conversation = is_conversation(call.route.operation)


def route(call: Call, gateway: Gateway) -> list[list[Candidate]]:
    """Return who may serve the request, group after group; see `choose`."""
    return choose(call, gateway)


async def spend(call: Call, gateway: Gateway, groups: list[list[Candidate]]) -> list[list[Candidate]]:
    """Take what the request needs from its limits and reserve what it may cost; return who may serve it under them.

    Raises:
        RateLimited: a limit has too little for now.
        QuotaUsedUp: too little is left.
        Unavailable: nothing can be reserved here and now.
    """
    assert call.snapshot is not None and call.principal is not None
    await admit_by_limits(call, gateway, groups)
    if is_count(call.route.operation) or not (call.snapshot.has_quotas or call.principal.quotas):
        return groups
    if gateway.budget is None:
        raise Unavailable("This process cannot count what quotas allow.", code="ledger_away", retry_after_s=5)
    return await gateway.budget.reserve(call, groups)


async def attempt(call: Call, gateway: Gateway, groups: list[list[Candidate]]) -> Committed:
    """Return an answer that may be committed."""
    assert call.snapshot is not None and call.asked is not None
    return await Attempt(call, gateway, call.snapshot, call.asked).run(groups)


def settle(call: Call, gateway: Gateway) -> None:
    """Tell everybody the truth and hand the record over; runs whatever the end was, and never waits."""
    try:
        rate(call)
        if call.reservations and gateway.budget is not None:
            call.charges = gateway.budget.settle(call)
        settle_limits(call)
        _remember(call, gateway)
    finally:  # a mistake in one of these steps is no reason for a request without a record, or without its charges
        record = call.record()
        if record is not None:
            gateway.records.put(record)


def _remember(call: Call, gateway: Gateway) -> None:
    """Let sessions, rules and strategies remember how it went."""
    if call.in_flight is not None:
        call.in_flight.end()
    if call.session_name is not None and call.usage is not None and call.principal is not None:
        usage = call.usage
        # What was sent this time is in the cache for the next, where the upstream caches at all.
        cached = usage.input_tokens if usage.cache_read_tokens or usage.cache_write_tokens else 0
        gateway.sessions.warmed(call.principal.tenant_id, call.session_name, cached)
    observe(call, gateway)  # before the turn is noted: it tells of the one before
    note_turn(call, gateway)
