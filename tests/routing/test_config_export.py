"""Export: the same rows give the same bytes, no secret leaves, and what went out comes back the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import config_export
from routing.config_io import config_import
from routing.engine.strategies import STRATEGIES
from routing.models import ConfigBackup, RoutingRule
from routing.selectors import aliases_by_name, backups_newest, fallbacks_by_model
from routing.services import (
    BACKUPS_KEPT,
    alias_delete,
    alias_set,
    backup_create,
    fallback_set,
    policy_set,
    rule_create,
    rule_delete,
    rule_disable,
    rules_reorder,
)
from routing.tasks import back_up_configurations
from tenants.context import tenant_scope
from tenants.engine.money import usd_text
from tenants.models import ConfigState, Quota, Tenant

pytestmark = pytest.mark.django_db


class Undo(Exception):
    pass


def export(*, format: str = "yaml", is_operator: bool = True) -> str:
    tenant = Tenant.objects.get(slug="acme")
    document = config_export.tenants_document([tenant], is_operator=is_operator)
    return config_export.document_text(document, format="json" if format == "json" else "yaml")


# --- documents at random

slugs = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?", fullmatch=True).map(lambda slug: f"s-{slug}")
words = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="\ufeff"), min_size=1, max_size=20
) | st.sampled_from(["${env:HOME}", "$${file:/x}", "on", "null", "1e3", "2026-01-01", "~", "a: b", "'", '"', "#"])
numbers = st.integers(0, 2**63 - 1)
usd = st.integers(0, 10**9 * 10**9 - 1).map(usd_text)
globs = st.lists(words, min_size=1, max_size=3)


def entries(entry: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(entry)


def lists(entry: Any, by: Any, size: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(entry, max_size=size, unique_by=by)


limits = lists(
    entries({"kind": st.sampled_from(["requests", "tokens"]), "limit": numbers, "window_s": st.integers(1, 10**6)})
    | entries({"kind": st.just("concurrency"), "limit": numbers, "on_outage": st.just("closed")})
    | entries(
        {
            "kind": st.just("tokens"),
            "limit": numbers,
            "window_s": st.integers(10**6 + 1, 10**7),
            "algorithm": st.just("token_bucket"),
            "burst": st.integers(1, 10**6),
        }
    ),
    lambda limit: (limit["kind"], limit.get("window_s")),
)
windows = st.sampled_from(["hour", "day", "week", "month", "year", "ever"])
quotas = lists(
    entries({"usd": usd, "window": windows}) | entries({"tokens": numbers, "window": windows}),
    lambda quota: (*sorted(quota), quota["window"]),
)
key_entries = entries(
    {
        "slug": slugs, "models": globs, "channels": globs, "tags": st.dictionaries(words, words, max_size=2),
        "enabled": st.booleans(), "limits": limits, "quotas": quotas,
        "ips": st.lists(st.sampled_from(["10.0.0.0/8", "203.0.113.9/32", "2001:DB8::/32"]), max_size=3),
        "expires_at": st.none() | st.datetimes().map(lambda at: at.isoformat()),
    }
)  # fmt: skip
waits = st.floats(0.001, 86_400) | st.integers(1, 86_400)
channel_entries = entries(
    {
        "slug": slugs, "provider": st.sampled_from(["openai", "echo", "anthropic"]),
        "models": lists(words | entries({"name": words, "upstream": words}), str, 3).filter(
            lambda models: models and len({m if isinstance(m, str) else m["name"] for m in models}) == len(models)
        ),
        # Prices go by the upstream's name; a renamed public one is refused.
        "prices": st.dictionaries(
            words.map("priced {}".format),
            st.just({"input_usd_per_mtok": "1.250", "output_usd_per_mtok": "2"}),
            max_size=2,
        ),
        "priority": st.integers(-(2**31), 2**31 - 1), "weight": st.integers(0, 2**31 - 1), "enabled": st.booleans(),
        "transformers": st.lists(
            st.sampled_from(["cleancache", "tooluse"])
            | words.map(lambda name: {"customparams": {name: [1, None, 0.5]}})
        ),
        "timeout_s": entries({"connect": waits, "first_byte": waits, "idle": waits, "total": waits}),
        "region": st.none() | words, "tags": st.lists(words, max_size=2), "limits": limits, "quotas": quotas,
    }
)  # fmt: skip
targets = st.fixed_dictionaries({"model": words}, optional={"channel": slugs, "provider": words, "tag": words})
rule_entries = entries(
    {
        "slug": slugs, "type": st.sampled_from(["think", "default"]), "enabled": st.booleans(),
        "condition": st.fixed_dictionaries(
            {}, optional={"keywords": globs, "keyTag": st.just({"a": "b"}), "tokenThreshold": st.integers(0, 10**9)}
        ),
        "target": targets | st.lists(targets, min_size=1, max_size=3),
        "priority": st.integers(-(10**6), 10**6), "description": words,
    }
)  # fmt: skip
tenants = entries(
    {
        "slug": st.just("acme"), "name": words, "timezone": st.sampled_from(["UTC", "Asia/Kathmandu"]),
        "private_upstreams": st.lists(st.sampled_from(["10.0.0.0/8", "::1/128"]), max_size=2),
        "members": lists(
            entries({"email": st.sampled_from(["alice@example.com", "new@example.com"]),
                     "role": st.sampled_from(["admin", "operator", "viewer"])}),
            lambda member: member["email"],
        ),
        "keys": lists(key_entries, lambda key: key["slug"]), "limits": limits, "quotas": quotas,
        "aliases": st.dictionaries(words, words, max_size=2).filter(lambda made: not made.keys() & made.values()),
        "fallbacks": st.dictionaries(words, globs, max_size=2),
        "channels": lists(channel_entries, lambda channel: channel["slug"]),
        "rules": lists(rule_entries, lambda rule: rule["slug"]), "tags": st.dictionaries(words, words, max_size=2),
        "policy": entries({
            "strategy": st.sampled_from(list(STRATEGIES)), "cooldown": st.booleans(),
            "retry": entries({"attempts": st.integers(1, 100), "total_s": st.integers(1, 86_400)}),
            "breaker": entries({"failures": st.integers(1, 10_000), "open_s": waits}),
            "session": entries({"enabled": st.booleans(), "sticky": st.booleans(), "ttl_s": st.integers(1, 10**6)}),
        }),
    }
)  # fmt: skip


@given(tenant=tenants)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_went_out_comes_back_the_same(cast, tenant):
    document = config_export.document_text({"apiVersion": "routex/v1", "tenants": config_export.quoted_all([tenant])})
    with pytest.raises(Undo), transaction.atomic():
        config_import(text=document, environ={})
        first, as_json = export(), export(format="json")
        # Onto the same rows nothing changes, in either format …
        assert not config_import(text=first, environ={}).has_changes
        assert not config_import(text=as_json, environ={}).has_changes
        assert export() == first
        # … and after everything was changed once, it leads back.
        with tenant_scope(cast.acme.id):
            policy_set(tenant_id=cast.acme.id, attempts=1, has_cooldown=not tenant["policy"]["cooldown"])
        assert config_import(text=first, environ={}).has_changes
        assert export() == first
        raise Undo


def test_an_export_made_elsewhere_gives_the_same_export(cast):
    """Keys are made anew there; everything else is the same, byte for byte."""
    config_import(text=SOURCE)
    first = export()
    copy = first.replace("slug: acme", "slug: copy")
    report = config_import(text=copy)
    assert set(report.made_keys) == {"copy/cast", "copy/ci"}
    tenant = Tenant.objects.get(slug="copy")
    again = config_export.document_text(config_export.tenants_document([tenant], is_operator=True))
    assert again == copy


SOURCE = """
apiVersion: routex/v1
tenants:
  - slug: acme
    keys: [{slug: ci, limits: [{kind: concurrency, limit: 3}]}]
    channels:
      - slug: b
        provider: openai
        models: [m]
        credentials: [{slug: main, api_key: sk-very-secret-credential}]
        quotas: [{usd: "0.000000001", window: ever}]
      - {slug: a, provider: echo, models: [echo]}
"""


def test_no_secret_is_in_an_export(cast):
    config_import(text=SOURCE)
    text = export()
    assert "sk-very" not in text and "secret" not in text and "credential" not in text
    assert cast.acme_key not in text and cast.acme_key[-4:] not in text


def test_an_export_is_sorted_and_reads_as_yaml_and_json(cast):
    config_import(text=SOURCE)
    document = yaml.safe_load(export())
    assert [channel["slug"] for channel in document["tenants"][0]["channels"]] == ["a", "b"]
    assert document["tenants"][0]["channels"][1]["quotas"] == [{"usd": "0.000000001", "window": "ever"}]
    assert json.loads(export(format="json")) == document


def test_a_quota_for_a_tag_stands_under_its_tenant_and_comes_back(cast):
    quotas = '{usd: "5", window: day, tag: "team=core"}, {usd: "5", window: day}'
    source = f"apiVersion: routex/v1\ntenants: [{{slug: acme, quotas: [{quotas}]}}]\n"
    config_import(text=source)
    with tenant_scope(cast.acme.id):
        rows = set(Quota.objects.filter(kind="usd").values_list("scope", "scope_id"))
    assert rows == {("tag", "team=core"), ("tenant", "")}
    exported = yaml.safe_load(export())["tenants"][0]["quotas"]
    assert {"usd": "5.00", "window": "day", "tag": "team=core"} in exported
    assert not config_import(text=source).has_changes


def test_what_only_the_platform_sets_is_in_an_operators_export_only(cast):
    assert "private_upstreams" in export()
    tenants_own = export(is_operator=False)
    assert "private_upstreams" not in tenants_own
    assert not config_import(text=tenants_own, only_tenant=cast.acme).has_changes


# --- services and the nightly backup


def version_of(tenant: Tenant) -> int:
    with tenant_scope(tenant.id):
        return ConfigState.objects.get(tenant=tenant).version


def test_every_write_bumps_the_version(cast):
    writes = [
        lambda: alias_set(tenant_id=cast.acme.id, name="smart", target="gpt"),
        lambda: alias_delete(tenant_id=cast.acme.id, name="smart"),
        lambda: fallback_set(tenant_id=cast.acme.id, model="gpt", fallbacks=["claude"]),
        lambda: fallback_set(tenant_id=cast.acme.id, model="gpt", fallbacks=[]),
        lambda: policy_set(tenant_id=cast.acme.id, attempts=5),
        lambda: rule_create(tenant_id=cast.acme.id, slug="r", type="think", targets=[{"model": "m"}]),
        lambda: rule_disable(tenant_id=cast.acme.id, rule=RoutingRule.objects.get()),
        lambda: rules_reorder(tenant_id=cast.acme.id, references=["r"]),
        lambda: rule_delete(tenant_id=cast.acme.id, rule=RoutingRule.objects.get()),
    ]
    for write in writes:
        before = version_of(cast.acme)
        with tenant_scope(cast.acme.id):
            write()
        assert version_of(cast.acme) == before + 1
    with tenant_scope(cast.acme.id):
        assert aliases_by_name() == {} and fallbacks_by_model() == {}
        assert not alias_delete(tenant_id=cast.acme.id, name="smart")


def test_the_newest_ten_backups_are_kept(cast):
    with tenant_scope(cast.acme.id):
        for number in range(BACKUPS_KEPT + 2):
            backup_create(tenant=cast.acme, reason=f"number {number}")
        kept = [backup.reason for backup in backups_newest()]
    assert kept == [f"number {number}" for number in range(BACKUPS_KEPT + 1, 1, -1)]
    with tenant_scope(cast.rival.id):
        assert not ConfigBackup.objects.exists()


def test_one_tenant_that_cannot_be_backed_up_does_not_stop_the_others(cast, monkeypatch):
    whole = config_export.tenants_document

    def broken(tenants, **options):
        if tenants[0].slug == "acme":
            raise KeyError("name")
        return whole(tenants, **options)

    monkeypatch.setattr(config_export, "tenants_document", broken)
    assert back_up_configurations() == Tenant.objects.count() - 1
    with tenant_scope(cast.rival.id):
        [backup] = backups_newest()
    assert not config_import(text=backup.document, only_tenant=cast.rival).has_changes
