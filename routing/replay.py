"""Draft rules over recorded requests: what would have gone elsewhere, and what it would have cost there."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics.engine.pricing import cost
from analytics.models import RequestRecord
from analytics.selectors import request_cursor, requests_rated
from routing.engine.choosing import Match, first_match
from routing.engine.document import RuleSpec
from routing.engine.errors import GatewayError
from routing.engine.facts import NotRecorded, RecordedTraits
from routing.engine.operations import answering
from routing.engine.resolution import look_up, resolve
from routing.engine.rule import Setting
from routing.engine.ruleset import Rule, compile_rule, judged
from routing.engine.snapshot import Candidate, Snapshot
from routing.engine.strategies import STRATEGIES
from routing.engine.strategy import Situation
from routing.rerating import usage_of
from routing.simulation import snapshot_now
from tenants.engine.principal import Principal
from tenants.models import GatewayKey, Tenant
from tenants.selectors import principal_of_key

#: Moved requests that are told one by one.
MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """One request that would have gone elsewhere. Amounts are nano-USD; None where nobody knows a price."""

    request_id: str
    started_at: dt.datetime
    rule: str
    from_channel: str
    from_model: str
    to_channel: str
    to_model: str
    cost_before: int | None
    cost_after: int | None


@dataclass(slots=True)
class Replayed:
    """What one step found."""

    looked_at: int = 0
    #: The strategy of now, which it went by.
    strategy: str = ""
    #: What rules ask about it was not recorded, by what was missing.
    unknown: Counter[str] = field(default_factory=Counter)
    stayed: int = 0
    #: Of these, how many only as one of several that the strategy may put first.
    among_equals: int = 0
    moved: int = 0
    #: Rule → requests that it decided.
    by_rule: Counter[str] = field(default_factory=Counter)
    #: Over the requests that are known and priced both ways.
    before_nano_usd: int = 0
    after_nano_usd: int = 0
    unpriced: int = 0
    shown: list[Moved] = field(default_factory=list)
    next: str = ""


def requests_replay(
    *,
    tenant: Tenant,
    rules: Sequence[RuleSpec] | None,
    since: dt.datetime,
    until: dt.datetime,
    limit: int,
    after: str = "",
) -> Replayed:
    """Judge recorded requests by draft rules, or by those of now, under the configuration of now.

    A request stays when the rules and the tenant's strategy may still put first who answered it, or who was first
    then and failed. What a strategy goes by and no record keeps (turns, chance, measurements) moves nothing:
    `among_equals` counts the requests that stay by that. Of several that may be first the heaviest is told.

    Raises:
        DoesNotCompile: the configuration of now is not usable.
        ValueError: a rule makes no sense, or `after` is not the `next` of an earlier step.
    """
    snapshot = snapshot_now(tenant=tenant)
    records = requests_rated(tenant_id=tenant.pk, since=since, until=until, after=after, limit=limit)
    found = Replayed(looked_at=len(records), strategy=snapshot.document.policy.strategy)
    if len(records) == limit:
        found.next = request_cursor(record=records[-1])
    specs = snapshot.document.rules if rules is None else tuple(rules)
    ready = _ready(specs, snapshot.document.timezone)
    keys = {key.id: principal_of_key(key=key) for key in GatewayKey.objects.filter(id__in={r.key_id for r in records})}
    for record in records:
        principal = keys.get(record.key_id) or Principal(tenant_id=tenant.pk, key_id="", key_slug="")
        _judge(record, principal, snapshot, ready, found)
    return found


def _ready(specs: Sequence[RuleSpec], timezone: str) -> tuple[Rule, ...]:
    ranked = sorted(specs, key=lambda spec: -spec.priority)
    return tuple(compile_rule(spec, Setting(timezone)) for spec in ranked if spec.is_enabled)


def _judge(
    record: RequestRecord, principal: Principal, snapshot: Snapshot, rules: tuple[Rule, ...], found: Replayed
) -> None:
    if record.decision.get("by") == "pinned":
        _stay(record, found)
        return
    operations = answering(record.operation, record.is_stream)
    slug = ""
    try:
        match = _match(record, principal, snapshot, rules, operations)
        if match is not None:
            slug, group = match.slug, match.known.groups[0]
            found.by_rule[slug] += 1
        else:
            group, _ = resolve(snapshot, principal, operations, record.asked_model)
    except NotRecorded as missing:
        found.unknown[missing.what] += 1
    except GatewayError:
        found.unknown["nobody would serve it"] += 1
    else:
        _compare(record, slug, group, snapshot, operations, found)


def _match(
    record: RequestRecord,
    principal: Principal,
    snapshot: Snapshot,
    rules: tuple[Rule, ...],
    operations: tuple[str, ...],
) -> Match | None:
    """Return what the first rule says that holds; raises NotRecorded where one asks for what is not known."""
    if not rules or look_up(snapshot, record.asked_model)[2] != "name":
        return None
    if not record.decision.get("facts"):
        raise NotRecorded("was not read")
    traits = _traits(record, principal, snapshot)
    return first_match(judged(rules, traits), traits, snapshot, principal, operations, [])


def _traits(record: RequestRecord, principal: Principal, snapshot: Snapshot) -> RecordedTraits:
    return RecordedTraits(
        record.decision["facts"],
        model=record.asked_model,
        started_us=int(record.started_at.timestamp() * 1e6),
        user_agent=record.user_agent,
        key_tags=principal.tags,
        tenant_tags=snapshot.document.tags,
    )


def _compare(
    record: RequestRecord,
    rule: str,
    group: Sequence[Candidate],
    snapshot: Snapshot,
    operations: tuple[str, ...],
    found: Replayed,
) -> None:
    if _is_held(record, rule, group, snapshot):
        _stay(record, found)
        return
    best = _best(record, group, snapshot, operations)
    if any(map(_was_chosen(record), best)):
        found.among_equals += len(best) > 1
        _stay(record, found)
        return
    chosen = max(best, key=lambda each: each.weight)
    price = snapshot.price(chosen, record.started_at.timestamp())
    after = None if price is None else cost(usage_of(record), price)
    found.moved += 1
    _add(record.cost_nano_usd, after, found)
    if len(found.shown) < MAX_SHOWN:
        found.shown.append(
            Moved(
                record.id, record.started_at, rule, record.channel_slug, record.upstream_model,
                chosen.channel.spec.slug, chosen.upstream_model, record.cost_nano_usd, after,
            )
        )  # fmt: skip


def _was_chosen(record: RequestRecord) -> Callable[[Candidate], bool]:
    """Return whether a candidate answered the request, or was to: where that one failed, the rules had chosen it."""
    answered = (record.channel_id, record.upstream_model)
    first = next(((each["channel"], each.get("model", "")) for each in _ranked(record)), None)
    return lambda each: answered == (each.channel_id, each.upstream_model) or first == _told(each)


def _is_held(record: RequestRecord, rule: str, group: Sequence[Candidate], snapshot: Snapshot) -> bool:
    """Whether the request's session stayed on its channel, and the same rule leaves it the same channels.

    Where another rule decides, or over others, the session would have begun elsewhere.
    """
    decision, policy = record.decision, snapshot.document.policy
    is_kept = decision.get("stickiness") == "kept" and policy.is_session_enabled and policy.is_session_sticky
    then = {(each["channel"], each.get("model", "")) for each in _ranked(record)[: len(group)]}
    return is_kept and decision.get("rule", "") == rule and then == set(map(_told, group))


def _ranked(record: RequestRecord) -> list[dict[str, Any]]:
    """Return the candidates of the recorded decision that were to be tried, in their order."""
    return sorted((e for e in record.decision.get("candidates", ()) if e.get("rank")), key=lambda e: int(e["rank"]))


def _told(candidate: Candidate) -> tuple[str, str]:
    return candidate.channel.spec.slug, candidate.upstream_model


def _best(
    record: RequestRecord, group: Sequence[Candidate], snapshot: Snapshot, operations: tuple[str, ...]
) -> list[Candidate]:
    """Return whom the tenant's strategy may put first, as far as a record tells: several where they are alike to it."""

    def costs(candidate: Candidate) -> int | None:
        price = snapshot.price(candidate, record.started_at.timestamp())
        return None if price is None else cost(usage_of(record), price)

    situation = Situation(
        chance=lambda: 0.5,
        client_address=record.client_address,
        session=record.session_id,
        key_id=record.key_id,
        model=group[0].remembered_as,
        is_stream=record.is_stream,
        operations=operations,
        cost=costs,
    )
    strategy = STRATEGIES[snapshot.document.policy.strategy]
    ranked = strategy.order(group, situation)
    alike = [each for each in ranked if each.candidate.place == ranked[0].candidate.place]
    if strategy.is_repeatable:
        alike = [each for each in alike if each.number == ranked[0].number]
    return [each.candidate for each in alike]


def _stay(record: RequestRecord, found: Replayed) -> None:
    found.stayed += 1
    _add(record.cost_nano_usd, record.cost_nano_usd, found)


def _add(before: int | None, after: int | None, found: Replayed) -> None:
    if before is None or after is None:
        found.unpriced += 1
        return
    found.before_nano_usd += before
    found.after_nano_usd += after
