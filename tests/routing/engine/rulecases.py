"""Requests that rules are asked about, made ready without a gateway."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from routing.engine.call import Call
from routing.engine.document import RuleSpec
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from routing.engine.operations import answering, is_conversation
from routing.engine.rule import Finding, Setting
from routing.engine.ruleset import compile_rule
from routing.engine.traits import Traits
from tests.routing.engine.cast import channel, principal, snapshot
from tests.routing.engine.harness import PATHS

#: A Wednesday.
NOON = dt.datetime(2026, 5, 6, 12, 0, tzinfo=dt.UTC)


def traits(
    body: Any = None,
    *,
    name: str = "openai-chat",
    path: str = "",
    model: str = "m",
    text: Any = "Hello",
    headers: dict[str, str] | None = None,
    at: dt.datetime = NOON,
    last: int = 0,
    key_tags: dict[str, str] | None = None,
    tenant_tags: dict[str, str] | None = None,
    **members: Any,
) -> Traits:
    """Return the traits of a request; without a body it is one message, with `members` beside it."""
    if body is None:
        body = {"model": model, "messages": [{"role": "user", "content": text}]} | members
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    known = FORMATS[name]
    route = known.route(path or PATHS[name]) or Route(f"{name}:")
    sent = {each.encode(): value.encode() for each, value in (headers or {}).items()}
    call = Call("req_1", known, route, sent, {}, body=raw, started_us=int(at.timestamp() * 1e6))
    call.principal = principal(tags=key_tags or {})
    call.snapshot = snapshot(channel("a"), tags=tenant_tags or {})
    call.asked = known.read_request(route, {}, raw)
    call.operations = answering(route.operation, False)
    call.is_conversation = is_conversation(route.operation)
    found = Traits(call)
    found.last_input_tokens = last
    return found


def finding(kind: str, condition: dict[str, Any], asked: Traits, timezone: str = "UTC") -> Finding:
    """Return what a rule of that type and condition finds: its first miss, or its last hit."""
    rule = compile_rule(RuleSpec(slug="r", type=kind, condition=condition), Setting(timezone))
    found = Finding(True)
    for test in rule.tests:
        found = test(asked)
        if not found.holds:
            break
    return found


def holds(kind: str, condition: dict[str, Any], asked: Traits, timezone: str = "UTC") -> bool:
    """Whether all of a rule's conditions hold."""
    return finding(kind, condition, asked, timezone).holds
