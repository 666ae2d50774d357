"""A dry run: all that a request goes through up to its first try, told instead of done."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from routing.engine.admission import foresee_limits
from routing.engine.call import Call
from routing.engine.choosing import prepare
from routing.engine.decision import Decision
from routing.engine.errors import GatewayError
from routing.engine.gateway import Gateway
from routing.engine.operations import is_count
from routing.engine.ordering import Ordering
from routing.engine.pipeline import Incoming, admit, authenticate, parse, route
from routing.engine.relay import Reply
from routing.engine.resolution import nobody_ready
from routing.engine.snapshot import Candidate


class Refusal(msgspec.Struct, frozen=True):
    """What the client would be told instead of an answer."""

    status: int
    code: str
    message: str
    retry_after_s: float | None = None


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a request. `channel` and `model` are those of the first try, "" when there would be none."""

    object: str = "routing.decision"
    request_id: str
    channel: str = ""
    model: str = ""
    upstream_format: str = ""
    decision: Decision
    error: Refusal | None = None


async def rehearse(call: Call, gateway: Gateway, incoming: Incoming, reply: Reply) -> None:
    """Answer a request with what would become of it; raises GatewayError where not even that can be said."""
    call.principal = authenticate(call, gateway)
    await admit(call, gateway)
    await parse(call, incoming, gateway.max_body_bytes)
    await prepare(call)
    body = msgspec.json.encode(foresee(call, gateway))
    await reply.start(
        200,
        [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", call.id.encode()),
            (b"x-routex-dry-run", b"1"),
            (b"cache-control", b"no-store"),
        ],
    )
    await reply.end(body)


def foresee(call: Call, gateway: Gateway) -> Rehearsed:
    """Return what would become of a parsed request now. Nothing is counted, reserved, remembered or sent."""
    first, error = None, None
    try:
        groups = route(call, gateway)
        foresee_limits(call, gateway, groups)
        if gateway.budget is not None and not is_count(call.route.operation):
            groups = gateway.budget.foresee(call, groups)
        first = _order(call, gateway, groups)
    except GatewayError as refused:
        error = Refusal(refused.status, refused.code, refused.message, refused.retry_after_s)
    return Rehearsed(
        request_id=call.id,
        channel="" if first is None else first.channel.spec.slug,
        model="" if first is None else first.upstream_model,
        upstream_format="" if first is None else first.operation(call.operations).partition(":")[0],
        decision=call.tell(),
        error=error,
    )


def _order(call: Call, gateway: Gateway, groups: list[list[Candidate]]) -> Candidate | None:
    """Note the candidates in their order, and return the one that would be tried first."""
    assert call.snapshot is not None
    ordering = Ordering(call, gateway, call.snapshot, is_rehearsal=True)
    groups = [group for group in groups if group]
    ordering.name_session(groups)
    ordered = [candidate for group in groups for candidate in ordering.order_known(group)]
    found = ((id(each), _why_not_now(each, ordering, gateway.clock())) for each in ordered)
    reasons = {key: reason for key, reason in found if reason is not None}
    traces = call.tell().candidates
    # The order's traces stand behind those of channels that never were in it.
    for place, candidate in enumerate(ordered, len(traces) - len(ordered)):
        if reason := reasons.get(id(candidate)):
            traces[place] = msgspec.structs.replace(traces[place], dropped=reason.words)
    ready = [candidate for candidate in ordered if id(candidate) not in reasons]
    if ordered and not ready:
        bare = [each.channel.spec.slug for each in ordered if each.channel.lacks_credential]
        waits_s = [reason.wait_s for reason in reasons.values() if reason.wait_s is not None]
        raise nobody_ready(call.decision.model, bare, waits_s, "cooling down after errors")
    return ready[0] if ready else None


class _PassedOver(NamedTuple):
    """Why a candidate would not be tried now, and for how many seconds; None: until an admin does something."""

    words: str
    wait_s: float | None = None


def _why_not_now(candidate: Candidate, ordering: Ordering, now_s: float) -> _PassedOver | None:
    """Return why a candidate would be passed over now, None when it would be tried."""
    channel = candidate.channel
    if channel.lacks_credential:
        return _PassedOver("has no credential")
    state = ordering.states[channel.spec.id]
    wait_s = max(0.0, state.ready_at_s(channel.pool) - now_s)
    if state.breaker.standing(ordering.policy, now_s) == "open":
        return _PassedOver(f"has failed, and its breaker is open; next try in {wait_s:.0f} s", wait_s)
    if not state.rested(channel.pool, now_s):
        why = "has no credential that is not resting" if channel.credentials else "is limited by its provider"
        return _PassedOver(f"{why}; next try in {wait_s:.0f} s", wait_s)
    return None
