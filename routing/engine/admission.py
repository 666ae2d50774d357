"""Which limits count for a request: all of them let it through, or none has counted it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from routing.engine.account import Grant
from routing.engine.call import Call
from routing.engine.decision import SpendTrace
from routing.engine.errors import GatewayError, RateLimited, Unavailable
from routing.engine.estimate import input_tokens
from routing.engine.format import Allowance
from routing.engine.gateway import Gateway
from routing.engine.limiter import NEVER
from routing.engine.operations import is_count
from routing.engine.snapshot import Candidate, joined
from tenants.engine.limits import LimitSpec

#: Outcomes of requests that no upstream has charged anybody for, unless it told its usage.
_UNCHARGED = frozenset({"failed", "refused"})


async def admit_by_limits(call: Call, gateway: Gateway, groups: list[list[Candidate]]) -> None:
    """Take what the limits of the tenant, the key and the model ask of this request; `settle_limits` gives it back.

    Raises:
        RateLimited: a limit is reached; nothing stays taken.
        Unavailable: the shared counters are away, and a limit is to let nothing through then.
    """
    assert call.snapshot is not None and call.principal is not None
    specs = joined(call.principal.limits, call.snapshot.limits_of(_model_of(groups)))
    if not specs:
        return
    grants, refused = await _take(call, gateway, specs)
    call.limited_by = grants if refused is None else [*grants, refused]
    if refused is not None:
        give_back(grants)
        raise _refusal(call, refused)
    call.grants = grants


async def take_for_channel(
    call: Call, gateway: Gateway, candidate: Candidate, first_model: str
) -> tuple[list[Grant], GatewayError | None]:
    """Take what a channel's limits ask of one try, and those of its model where that is not the first one.

    What was taken is returned with no error; or nothing, with the error that says why and how long to wait.
    """
    assert call.snapshot is not None
    specs = call.snapshot.channel_limits.get(candidate.channel.spec.id, ())
    if candidate.public_model != first_model:
        specs = (*specs, *call.snapshot.model_limits_of(candidate.public_model))
    if not specs:
        return [], None
    grants, refused = await _take(call, gateway, specs)
    if refused is None:
        return grants, None
    give_back(grants)
    return [], _refusal(call, refused)


def give_back(grants: Iterable[Grant]) -> None:
    """Put back all that was taken: the request went nowhere."""
    for grant in grants:
        grant.account.give_back(grant.n)


def give_back_unused(grants: Iterable[Grant]) -> None:
    """Put back what a failed try did not use: its tokens and its place; as a request it counts."""
    give_back(grant for grant in grants if grant.spec.kind != "requests")


def tell_limits(grants: Iterable[Grant], *, is_refusal: bool) -> None:
    """Tell those limits that follow the upstream whether it took the request or called it too much."""
    for grant in grants:
        if grant.spec.algorithm == "adaptive":
            grant.account.hear(is_refusal=is_refusal)


def settle_limits(call: Call) -> None:
    """Settle with the truth whatever the end was; never waits."""
    grants, call.grants = call.grants, []
    if not grants:
        return
    if not call.tries and (call.error is not None or call.outcome == "gone"):
        give_back(grants)
        return
    usage = call.usage
    for grant in grants:
        kind = grant.spec.kind
        if kind == "concurrency":
            grant.account.give_back(grant.n)
        elif kind == "tokens" and usage is not None:
            grant.account.adjust(usage.input_tokens + usage.output_tokens - grant.n)
        elif kind == "tokens" and call.outcome in _UNCHARGED:
            grant.account.give_back(grant.n)


async def _take(call: Call, gateway: Gateway, specs: Iterable[LimitSpec]) -> tuple[list[Grant], Grant | None]:
    """Take from one limit after another until one refuses, which is returned apart from what was taken until then."""
    principal = call.principal
    assert principal is not None
    flow = (principal.tenant_id, principal.key_id)
    asked: list[Grant] = []
    call.untold.append(lambda: _tell(call, asked))
    has_no_tokens = is_count(call.route.operation)
    try:
        for spec in specs:
            n = 1
            if spec.kind == "tokens":
                if has_no_tokens:
                    continue
                n = max(1, input_tokens(call))
            account = gateway.limits.account(principal.tenant_id, spec)
            taken = await account.take(n, flow)
            asked.append(Grant(account, spec, n, taken))
            if not taken.granted:
                return asked[:-1], asked[-1]
    except BaseException:  # the client left while this waited
        give_back(asked)
        raise
    return asked, None


def _tell(call: Call, asked: Iterable[Grant]) -> None:
    """Note on the decision what became of each ask."""
    for account, spec, n, taken in ((each.account, each.spec, each.n, each.taken) for each in asked):
        call.decision.spends.append(
            SpendTrace(
                name=f"{_owner(call, spec)}: {account.text}",
                asked=n,
                left=taken.left,
                waited_ms=taken.waited_s * 1000,
                refused="" if taken.granted else "uncounted" if taken.is_closed else "reached",
            )
        )


def _model_of(groups: list[list[Candidate]]) -> str:
    return next((group[0].public_model for group in groups if group), "")


def _owner(call: Call, spec: LimitSpec) -> str:
    assert call.principal is not None and call.snapshot is not None
    if spec.scope == "key":
        return f"key `{call.principal.key_slug}`"
    if spec.scope == "tenant":
        return f"tenant `{call.snapshot.document.slug}`"
    if spec.scope == "channel":
        return f"channel `{call.snapshot.channel_slugs.get(spec.scope_id, spec.scope_id)}`"
    return f"model `{spec.scope_id}`"


def _refusal(call: Call, refused: Grant) -> GatewayError:
    """Return what the client is told (429; 503 when nothing can be counted)."""
    spec, taken, text = refused.spec, refused.taken, refused.account.text
    owner = _owner(call, spec)
    if taken.is_closed:
        return Unavailable(
            f"Requests of {owner} cannot be counted right now, and its limit lets none through uncounted. "
            f"Try again in {taken.wait_s:.0f} s.",
            code="limits_unavailable",
            retry_after_s=taken.wait_s,
        )
    counted: Literal["requests", "tokens"] = "tokens" if spec.kind == "tokens" else "requests"
    if taken.wait_s == NEVER:
        about = f"This request has about {refused.n} tokens: too many for" if counted == "tokens" else "Nothing passes"
        return RateLimited(f"{about} the limit of {text} for {owner}.", counted=counted, should_retry=False)
    seconds = max(1, math.ceil(taken.wait_s))
    if spec.kind == "concurrency":
        used = max(0, spec.limit - taken.left)
        return RateLimited(
            f"{used} of {spec.limit} parallel requests of {owner} in use. Try again in {seconds} s.",
            code="concurrency_limit_exceeded",
            retry_after_s=taken.wait_s,
        )
    return RateLimited(
        f"Limit of {text} for {owner} reached ({refused.account.reached(taken.left)}). Try again in {seconds} s.",
        counted=counted,
        retry_after_s=taken.wait_s,
    )


def limit_headers(call: Call) -> tuple[tuple[bytes, bytes], ...]:
    """Return the rate-limit headers of the client's format, of the tightest limit on requests and on tokens."""
    tightest: dict[str, Grant] = {}
    for grant in call.limited_by:
        kind, limit = grant.spec.kind, grant.spec.limit
        if kind == "concurrency" or not limit or grant.taken.is_closed:
            continue
        other = tightest.get(kind)
        if other is None or grant.taken.left * other.spec.limit < other.taken.left * limit:
            tightest[kind] = grant
    if not tightest:
        return ()
    now_s = next(iter(tightest.values())).account.now_s()
    requests, tokens = (_allowance(tightest.get(kind), now_s) for kind in ("requests", "tokens"))
    return call.format.limit_headers(requests, tokens, now_s)


def _allowance(grant: Grant | None, now_s: float) -> Allowance | None:
    if grant is None:
        return None
    return Allowance(grant.spec.limit, min(grant.spec.limit, grant.taken.left), grant.account.reset_s(now_s))
