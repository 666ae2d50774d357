"""Rules of a configuration document: applied by slug, twice without a trace, and told again as they were."""

from __future__ import annotations

import pytest

from routing.config_export import tenant_text
from routing.config_io import config_import
from routing.models import RoutingRule
from tenants.context import tenant_scope
from tenants.models import Tenant

pytestmark = pytest.mark.django_db

DOCUMENT = """
apiVersion: routex/v1
tenants:
  - slug: acme
    tags: {plan: gold}
    rules:
      - slug: long-context
        type: longContext
        condition: {tokenThreshold: 60000}
        target: {channel: gemini-main, model: gemini-2.5-pro}
        priority: 100
        enabled: true
      - slug: night
        condition: {time: {hours: 22-06, zone: Europe/Berlin}, keyTag: {team: core}}
        target: [{tag: spot}, {provider: echo, model: echo}]
        enabled: false
        description: Nobody waits at night.
      - {slug: old, type: think, condition: {keywords: [plan]}, targetChannel: main, targetModel: m}
"""


def rules(tenant):
    with tenant_scope(tenant.id):
        return {rule.slug: rule for rule in RoutingRule.objects.all()}


def test_rules_are_imported_and_told_again(cast):
    report = config_import(text=DOCUMENT)
    assert [change.name for change in report.changes if change.kind == "rule"] == [
        f"acme/rule/{slug}" for slug in ("long-context", "night", "old")
    ]
    stored = rules(cast.acme)
    assert stored["long-context"].targets == [{"channel": "gemini-main", "model": "gemini-2.5-pro"}]
    assert stored["night"].targets == [{"tag": "spot"}, {"provider": "echo", "model": "echo"}]
    assert (stored["night"].is_enabled, stored["night"].type) == (False, "custom")
    assert stored["old"].targets == [{"channel": "main", "model": "m"}]
    assert not config_import(text=DOCUMENT).has_changes

    told = tenant_text(Tenant.objects.get(slug="acme"))
    assert "target:" in told and "plan: gold" in told
    with tenant_scope(cast.acme.id):
        RoutingRule.objects.all().delete()
    assert config_import(text=told).has_changes
    again = rules(cast.acme)
    for slug, rule in stored.items():
        same = ("type", "condition", "targets", "priority", "is_enabled", "description")
        assert {name: getattr(again[slug], name) for name in same} == {name: getattr(rule, name) for name in same}


def test_a_changed_rule_says_what_changed(cast):
    config_import(text=DOCUMENT)
    report = config_import(text=DOCUMENT.replace("priority: 100", "priority: 90"))
    assert [(change.name, change.fields) for change in report.changes if change.action == "changed"] == [
        ("acme/rule/long-context", ("priority",))
    ]
