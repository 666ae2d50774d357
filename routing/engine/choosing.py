"""Which model and which channels: what the name says outright, then the tenant's rules, then the model asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from routing.engine.call import Call
from routing.engine.decision import CandidateTrace, RuleTrace
from routing.engine.gateway import Gateway
from routing.engine.resolution import check_asked, look_up, resolve
from routing.engine.rule import Finding
from routing.engine.ruleset import Rule, rules_of
from routing.engine.snapshot import Candidate, Snapshot
from routing.engine.targets import Asking, Target, target_named
from routing.engine.traits import Traits
from tenants.engine.principal import Principal

#: Characters of a trace's words that are kept.
MAX_MEASURED_CHARS = 300

_encode = msgspec.json.Encoder().encode


def choose(call: Call, gateway: Gateway) -> list[list[Candidate]]:
    """Return the groups of candidates to be tried one after the other, and write into the decision why.

    A pinned channel, `channel,model`, `channel/model` and aliases are explicit, so no rule is asked. Else the first
    rule decides, by falling priority, whose conditions hold and whose target can serve; else the asked model itself.

    Raises:
        Forbidden: the key may not use the model or the channel.
        ModelNotFound: neither a rule nor a channel takes the model.
        NoChannel: channels serve it, and all are switched off.
    """
    snapshot, principal, asked, decision = call.snapshot, call.principal, call.asked, call.decision
    assert snapshot is not None and principal is not None and asked is not None
    pinned = call.header(b"x-routex-channel")
    decision.asked_model = asked.model
    read_as = look_up(snapshot, asked.model)[2]
    if not pinned and read_as == "name" and (rules := rules_of(snapshot)):
        check_asked(principal, asked.model)
        groups = _by_rules(call, gateway, snapshot, principal, rules)
        if call.input_tokens is not None:
            decision.input_tokens, decision.counted_by = call.input_tokens, "estimate"
        if groups:
            _note_left_out(call, snapshot, principal, groups, "is not among the rule's targets")
            return groups
    first, fallbacks = resolve(snapshot, principal, call.operations, asked.model, pinned)
    decision.model, decision.by = first[0].public_model, "pinned" if pinned else read_as
    groups = [first, *fallbacks]
    _note_left_out(call, snapshot, principal, groups, "is not the channel that was named")
    return groups


def _note_left_out(
    call: Call, snapshot: Snapshot, principal: Principal, groups: list[list[Candidate]], otherwise: str
) -> None:
    """Write into the decision which channels have the models and are not tried, and why not."""
    for group in groups:
        having = snapshot.candidates(group[0].public_model) if group else ()
        if len(having) == len(group):
            continue
        kept = {candidate.channel.spec.id for candidate in group}
        for candidate in having:
            if candidate.channel.spec.id not in kept:
                reason = _why_left_out(candidate, principal, call.operations) or otherwise
                slug, model = candidate.channel.spec.slug, candidate.upstream_model
                call.decision.candidates.append(CandidateTrace(slug, model, dropped=reason))


def _why_left_out(candidate: Candidate, principal: Principal, operations: tuple[str, ...]) -> str:
    if not candidate.channel.spec.is_enabled:
        return "is switched off"
    if not principal.may_use_channel(candidate.channel.spec.slug):
        return "is not allowed to this key"
    if not candidate.operation(operations):
        return f"does not answer {operations[0]}"
    return "" if candidate.is_named else "has the model by a pattern only, and others speak the client's format"


def _by_rules(
    call: Call, gateway: Gateway, snapshot: Snapshot, principal: Principal, rules: tuple[Rule, ...]
) -> list[list[Candidate]]:
    """Return the groups of the first rule that holds and can serve; none when there is no such rule."""
    decision, traits = call.decision, Traits(call, gateway.last_turns.tokens(principal.tenant_id, call.session_id))
    found = first_match(rules, traits, snapshot, principal, call.operations, decision.rules.append)
    if found is None:
        return []
    decision.rule, decision.model = found.slug, found.groups[0][0].public_model
    decision.by = f"rule:{found.slug}"
    for spent in found.spent:
        _remove(call, spent)
    return found.groups


class Match(NamedTuple):
    """The rule that decides, who may serve under it, and texts that have done their work."""

    slug: str
    groups: list[list[Candidate]]
    spent: list[str]


def first_match(
    rules: Iterable[Rule],
    traits: Traits,
    snapshot: Snapshot,
    principal: Principal,
    operations: tuple[str, ...],
    note: Callable[[RuleTrace], None],
) -> Match | None:
    """Return what the first rule says whose conditions hold and whose target can serve; `note` hears of each rule."""
    for rule in rules:
        if rule.fault:
            note(RuleTrace(rule.spec.slug, skipped=rule.fault[:MAX_MEASURED_CHARS]))
            continue
        findings: list[Finding] = []
        for test in rule.tests:
            finding = test(traits)
            if not finding.holds:
                note(rule.miss(finding))
                break
            findings.append(finding)
        else:
            slug = rule.spec.slug
            measured = ", ".join(each.measured for each in findings)[:MAX_MEASURED_CHARS]
            asking = Asking(snapshot, principal, operations, traits.model, rule.keeps)
            groups, skipped = asking.groups(_targets(snapshot, rule, findings))
            note(RuleTrace(slug, True, measured, skipped[:MAX_MEASURED_CHARS]))
            if groups:
                return Match(slug, groups, [each.spent for each in findings if each.spent])
    return None


def _targets(snapshot: Snapshot, rule: Rule, findings: list[Finding]) -> list[Target]:
    """Return what the rule's conditions name, then its own targets; one without any serves the asked model."""
    named = [target_named(snapshot, each.target) for each in findings if each.target]
    return [*named, *rule.spec.targets] or [{}]


def _remove(call: Call, text: str) -> None:
    """Take a text out of the body: what told us where to go is noise to the model."""
    written = _encode(text)[1:-1]
    # Some encoders write angle brackets as escapes, so that JSON may stand in HTML.
    escaped = written.replace(b"<", b"\\u003c").replace(b">", b"\\u003e")
    body = call.body.replace(written, b"").replace(escaped, b"")
    if body != call.body:
        call.body, call.conversation = body, None
        call.asked = call.format.read_request(call.route, call.query, body)


def note_turn(call: Call, gateway: Gateway) -> None:
    """Remember how long a conversation was, for rules that ask after its last turn."""
    snapshot, usage = call.snapshot, call.usage
    if usage is not None and snapshot is not None and snapshot.document.rules:
        gateway.last_turns.note(snapshot.document.tenant_id, call.session_id, usage.input_tokens)
