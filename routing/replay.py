"""Draft rules over recorded requests: what would have gone elsewhere, and what it would have cost there."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics.engine.pricing import cost
from analytics.models import RequestRecord
from analytics.selectors import request_cursor, requests_rated
from routing.engine.choosing import first_match
from routing.engine.document import RuleSpec
from routing.engine.facts import NotRecorded, RecordedTraits
from routing.engine.operations import answering
from routing.engine.resolution import look_up
from routing.engine.rule import Setting
from routing.engine.ruleset import Rule, compile_rule, judged
from routing.engine.snapshot import Candidate, Snapshot
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
    #: What rules ask about it was not recorded, by what was missing.
    unknown: Counter[str] = field(default_factory=Counter)
    stayed: int = 0
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

    A request stays when the channel and model that answered it could still have been chosen. A channel that is chosen
    anew is the one of highest priority.

    Raises:
        DoesNotCompile: the configuration of now is not usable.
        ValueError: a rule makes no sense, or `after` is not the `next` of an earlier step.
    """
    snapshot = snapshot_now(tenant=tenant)
    records = requests_rated(tenant_id=tenant.pk, since=since, until=until, after=after, limit=limit)
    found = Replayed(looked_at=len(records))
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
    decision = record.decision
    model, _, read_as = look_up(snapshot, record.asked_model)
    slug, groups = "", []
    if decision.get("by") != "pinned" and read_as == "name" and rules:
        if not decision.get("facts"):
            found.unknown["was not read"] += 1
            return
        try:
            traits = _traits(record, principal, snapshot)
            match = first_match(
                judged(rules, traits),
                traits,
                snapshot,
                principal,
                answering(record.operation, record.is_stream),
                [],
            )
        except NotRecorded as missing:
            found.unknown[missing.what] += 1
            return
        if match is not None:
            slug, groups = match.slug, match.known.groups
            found.by_rule[slug] += 1
    if not slug and not decision.get("rule"):
        _stay(record, found)
        return
    if not slug:
        groups = [[each for each in snapshot.candidates(model) if each.channel.spec.is_enabled]]
    _compare(record, slug, groups[0], snapshot, found)


def _traits(record: RequestRecord, principal: Principal, snapshot: Snapshot) -> RecordedTraits:
    return RecordedTraits(
        record.decision["facts"],
        model=record.asked_model,
        started_us=int(record.started_at.timestamp() * 1e6),
        user_agent=record.user_agent,
        key_tags=principal.tags,
        tenant_tags=snapshot.document.tags,
    )


def _compare(record: RequestRecord, rule: str, group: Sequence[Candidate], snapshot: Snapshot, found: Replayed) -> None:
    if any((each.channel.spec.id, each.upstream_model) == (record.channel_id, record.upstream_model) for each in group):
        _stay(record, found)
        return
    if not group:
        found.unknown["nobody would serve it"] += 1
        return
    chosen = max(group, key=lambda each: (each.channel.spec.priority, each.channel.spec.weight))
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


def _stay(record: RequestRecord, found: Replayed) -> None:
    found.stayed += 1
    _add(record.cost_nano_usd, record.cost_nano_usd, found)


def _add(before: int | None, after: int | None, found: Replayed) -> None:
    if before is None or after is None:
        found.unpriced += 1
        return
    found.before_nano_usd += before
    found.after_nano_usd += after
