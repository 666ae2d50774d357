"""A dry run: all that a request goes through up to its first try, told instead of done."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from routing.engine.call import Call
from routing.engine.decision import CandidateTrace, Decision
from routing.engine.errors import GatewayError
from routing.engine.gateway import Gateway
from routing.engine.pipeline import Incoming, admit, authenticate, parse, route
from routing.engine.relay import Reply
from routing.engine.snapshot import Candidate
from routing.engine.strategies import STRATEGIES


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
        first = _order(call, gateway, route(call))
    except GatewayError as refused:
        error = Refusal(refused.status, refused.code, refused.message, refused.retry_after_s)
    return Rehearsed(
        request_id=call.id,
        channel="" if first is None else first.channel.spec.slug,
        model="" if first is None else first.upstream_model,
        upstream_format="" if first is None else first.operation(call.operations).partition(":")[0],
        decision=call.decision,
        error=error,
    )


def _order(call: Call, gateway: Gateway, groups: Iterable[list[Candidate]]) -> Candidate | None:
    """Note the candidates in their order, and return the one that would be tried first."""
    assert call.snapshot is not None
    policy = call.snapshot.document.policy
    call.decision.strategy = policy.strategy
    first = None
    for group in groups:
        for candidate in STRATEGIES[policy.strategy].order(group, gateway.chance):
            slug = candidate.channel.spec.slug
            call.decision.candidates.append(
                CandidateTrace(slug, candidate.upstream_model, len(call.decision.candidates) + 1)
            )
            first = first or candidate
    return first
