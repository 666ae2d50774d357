"""Which model and which channels: what the name says outright, then the tenant's rules, then the model asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from routing.engine.call import Call
from routing.engine.decision import CandidateTrace, RuleTrace
from routing.engine.gateway import Gateway
from routing.engine.resolution import check_asked, look_up, resolve
from routing.engine.rule import Finding
from routing.engine.ruleset import Rule, Stretch, rules_of
from routing.engine.session import begun_id, conversation_of
from routing.engine.snapshot import Candidate, Snapshot
from routing.engine.targets import Asking, Target, target_named
from routing.engine.traits import Traits
from tenants.engine.principal import Principal

#: Characters of a trace's words that are kept.
MAX_MEASURED_CHARS = 300

_encode = msgspec.json.Encoder().encode


async def prepare(call: Call) -> None:
    """Work out beside the event loop what a request's rules may ask and what would take long."""
    snapshot = call.snapshot
    assert snapshot is not None
    if snapshot.document.rules and (errands := rules_of(snapshot).errands) and _asks_rules(call, snapshot):
        traits = Traits(call)
        for errand in errands:
            if (work := errand(traits)) is not None:
                await asyncio.to_thread(work)


def _asks_rules(call: Call, snapshot: Snapshot) -> bool:
    assert call.asked is not None
    is_pinned = bool(call.header(b"x-routex-channel"))
    return bool(snapshot.document.rules) and not is_pinned and look_up(snapshot, call.asked.model)[2] == "name"


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
    if _asks_rules(call, snapshot):
        check_asked(principal, asked.model)
        groups = _by_rules(call, gateway, snapshot, principal)
        if call.input_tokens is not None:
            decision.input_tokens, decision.counted_by = call.input_tokens, "estimate"
        if groups:
            return groups
    key = ("asked", asked.model, pinned, call.operations, principal.models, principal.channels)
    known: Known | None = snapshot.remembered.get(key)
    if known is None:
        first, fallbacks = resolve(snapshot, principal, call.operations, asked.model, pinned)
        read_as = "pinned" if pinned else look_up(snapshot, asked.model)[2]
        groups = [first, *fallbacks]
        left_out = _left_out(snapshot, principal, call.operations, groups, "is not the channel that was named")
        known = Known(groups, left_out, read_as)
        snapshot.remember(key, known)
    decision.model, decision.by = known.groups[0][0].public_model, known.read_as
    decision.candidates += known.left_out
    return known.groups


class Known(NamedTuple):
    """Who may serve a name or a rule for a key; the same for every request, so that it is worked out once."""

    groups: list[list[Candidate]]
    left_out: list[CandidateTrace]
    #: How the name was read, or why targets of a rule cannot serve.
    read_as: str = ""


def _left_out(
    snapshot: Snapshot,
    principal: Principal,
    operations: tuple[str, ...],
    groups: list[list[Candidate]],
    otherwise: str,
) -> list[CandidateTrace]:
    """Return which channels have the models and are not tried, and why not."""
    told = {(candidate.channel_id, candidate.upstream_model) for group in groups for candidate in group}
    found = []
    for model in dict.fromkeys(group[0].public_model for group in groups if group):
        for candidate in snapshot.candidates(model):
            if (candidate.channel_id, candidate.upstream_model) not in told:
                told.add((candidate.channel_id, candidate.upstream_model))
                reason = _why_left_out(candidate, principal, operations) or otherwise
                found.append(CandidateTrace(candidate.channel.spec.slug, candidate.upstream_model, dropped=reason))
    return found


def _why_left_out(candidate: Candidate, principal: Principal, operations: tuple[str, ...]) -> str:
    if not candidate.channel.spec.is_enabled:
        return "is switched off"
    if not principal.may_use_channel(candidate.channel.spec.slug):
        return "is not allowed to this key"
    if not candidate.operation(operations):
        return f"does not answer {operations[0]}"
    return "" if candidate.is_named else "has the model by a pattern only, and others speak the client's format"


def _by_rules(call: Call, gateway: Gateway, snapshot: Snapshot, principal: Principal) -> list[list[Candidate]]:
    """Return the groups of the first rule that holds and can serve; none when there is no such rule."""
    decision, traits = call.decision, Traits(call, gateway.last_turns)
    stretches = rules_of(snapshot).stretches(snapshot, traits)
    found = first_match(stretches, traits, snapshot, principal, call.operations, decision.rules)
    if found is None:
        return []
    decision.rule, decision.model = found.slug, found.known.groups[0][0].public_model
    decision.by = f"rule:{found.slug}"
    decision.candidates += found.known.left_out
    for spent in found.spent:
        _remove(call, spent)
    return found.known.groups


class Match(NamedTuple):
    """The rule that decides, who may serve under it, and texts that have done their work."""

    slug: str
    known: Known
    spent: list[str]


def first_match(
    stretches: Iterable[Stretch],
    traits: Traits,
    snapshot: Snapshot,
    principal: Principal,
    operations: tuple[str, ...],
    traces: list[RuleTrace],
) -> Match | None:
    """Return what the first rule says whose conditions hold and whose target can serve, and note each rule's trace."""
    for misses, rule in stretches:
        traces += misses
        if rule is None:
            break
        for test in rule.asked:
            finding = test(traits)
            if not finding.holds:
                traces.append(rule.miss(finding))
                break
        else:
            findings = [test(traits) for test in rule.tests]
            measured = ", ".join(each.measured for each in findings)[:MAX_MEASURED_CHARS]
            known = _known(rule, findings, traits, snapshot, principal, operations)
            why = known.read_as[:MAX_MEASURED_CHARS]
            skipped, passed_over = ("", why) if known.groups else (why, "")
            traces.append(RuleTrace(rule.spec.slug, True, measured, skipped, passed_over))
            if known.groups:
                return Match(rule.spec.slug, known, [each.spent for each in findings if each.spent])
    return None


def _known(
    rule: Rule,
    findings: list[Finding],
    traits: Traits,
    snapshot: Snapshot,
    principal: Principal,
    operations: tuple[str, ...],
) -> Known:
    """Return who may serve under a rule that holds; remembered where no condition names a target of its own."""
    key = (id(rule), traits.model, operations, principal.models, principal.channels)
    is_own = not any(each.target for each in findings)
    known: tuple[Rule, Known] | None = snapshot.remembered.get(key) if is_own else None
    if known is not None and known[0] is rule:
        return known[1]
    asking = Asking(snapshot, principal, operations, traits.model, rule.keeps)
    groups, skipped = asking.groups(_targets(snapshot, rule, findings))
    left_out = _left_out(snapshot, principal, operations, groups, "is not among the rule's targets")
    found = Known(groups, left_out, skipped)
    if is_own:
        snapshot.remember(key, (rule, found))
    return found


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
        begun_id(call)  # by the request as it was sent: the next one is sent with the text again
        call.body, call.conversation = body, None
        call.asked = call.format.read_request(call.route, call.query, body)


def note_turn(call: Call, gateway: Gateway) -> None:
    """Remember how long a conversation was, for rules that ask after its last turn."""
    snapshot, usage = call.snapshot, call.usage
    if usage is None or snapshot is None or not snapshot.document.rules:
        return
    if call.session_id or rules_of(snapshot).asks_last_turn:
        gateway.last_turns.note(snapshot.document.tenant_id, conversation_of(call), usage.input_tokens)
