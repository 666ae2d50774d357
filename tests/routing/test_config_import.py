"""Import: applied whole or not at all, twice without a trace, and nothing of another tenant in reach."""

from __future__ import annotations

import pytest
import yaml
from django.db import connection, transaction

from channels_app.models import Channel, UpstreamCredential
from channels_app.secrets import unseal
from routing import selectors
from routing.config_io import ConfigError, config_export, config_import, config_validate
from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.models import AuditEvent, ConfigState, GatewayKey, KeyState, Limit, Membership, Quota, Tenant, User
from tenants.services import key_revoke, tenant_create

pytestmark = pytest.mark.django_db

SECRET = keys.mint()
WHOLE = f"""
apiVersion: routex/v1
x-owner: platform team
tenants:
  - slug: northwind
    name: Northwind
    timezone: Europe/Berlin
    private_upstreams: [10.0.0.0/8]
    members: [{{email: ann@example.com, role: admin}}]
    keys:
      - slug: ci
        secret: {SECRET}
        models: ["gpt-*"]
        channels: ["*"]
        limits: [{{kind: requests, limit: 600, window_s: 60}}, {{kind: concurrency, limit: 10}}]
        quotas: [{{usd: "50.05", window: month}}, {{tokens: 5000000, window: day}}]
        expires_at: 2031-01-02T03:04:05Z
        tags: {{team: core}}
    limits: [{{kind: tokens, limit: 100000, window_s: 60}}]
    quotas: [{{requests: 1000, window: day}}]
    aliases: {{smart: gpt-5.6}}
    fallbacks: {{gpt-5.6: [claude-sonnet-5]}}
    channels:
      - slug: main
        provider: openai
        baseUrl: https://api.openai.com/v1/chat/completions
        credentials: [{{slug: main, apiKey: sk-secret-of-northwind}}]
        models: ["gpt-5.6", {{name: fast, upstream: gpt-5.6-mini}}]
        prices: {{"gpt-5.6": {{input_usd_per_mtok: "1.25", output_usd_per_mtok: "10"}}}}
        priority: 100
        transformers: {{use: [maxtoken, [maxtoken, {{max_tokens: 8192}}]]}}
        timeout_s: {{connect: 5, total: 900}}
        region: eu
        tags: [prod]
        limits: [{{kind: requests, limit: 5, window_s: 1}}]
    policy:
      strategy: weighted
      retry: {{attempts: 4, total_s: 45}}
      breaker: {{failures: 7}}
      cooldown: false
"""


@pytest.fixture(scope="module", autouse=True)
def _northwind(cast, django_db_blocker):
    """The tenant that most of these tests change and roll back; to make it each time would take most of the time."""
    with django_db_blocker.unblock():
        tenant = tenant_create(slug="northwind", name="Empty")
        yield
        with platform_scope(), connection.cursor() as cursor:
            cursor.execute(f'DROP SCHEMA "{tenant.schema_name}" CASCADE')
            tenant.delete()


def document(*parts: str, slug: str = "northwind") -> str:
    return "\n".join(["apiVersion: routex/v1", "tenants:", f"  - slug: {slug}", *(f"    {part}" for part in parts)])


def northwind() -> Tenant:
    return Tenant.objects.get(slug="northwind")


def version_of(tenant: Tenant) -> int:
    with tenant_scope(tenant.id):
        return ConfigState.objects.get(tenant=tenant).version


def audits_of(tenant: Tenant) -> int:
    with tenant_scope(tenant.id):
        return AuditEvent.objects.count()


def problems_of(text: str, **arguments) -> list[tuple[str, str, int]]:
    with pytest.raises(ConfigError) as caught:
        config_import(text=text, **arguments)
    return [(problem.pointer, problem.message, problem.line) for problem in caught.value.problems]


def test_a_whole_document_becomes_rows():
    report = config_import(text=WHOLE)
    assert not report.warnings and report.made_keys == {}
    tenant = northwind()
    assert (tenant.name, tenant.timezone, tenant.private_upstreams) == ("Northwind", "Europe/Berlin", ["10.0.0.0/8"])
    with tenant_scope(tenant.id):
        channel = Channel.objects.get()
        assert channel.base_url == "https://api.openai.com/v1"
        assert channel.served_models == ["gpt-5.6", {"name": "fast", "upstream": "gpt-5.6-mini"}]
        assert channel.transformers == ["maxtoken", {"maxtoken": {"max_tokens": 8192}}]
        assert (channel.connect_s, channel.first_byte_s, channel.total_s) == (5, 60, 900)
        assert unseal(UpstreamCredential.objects.get().sealed) == "sk-secret-of-northwind"
        key = GatewayKey.objects.get()
        assert bytes(key.digest) == keys.digest(SECRET) and key.allowed_models == ["gpt-*"]
        assert key.expires_at.isoformat() == "2031-01-02T03:04:05+00:00" and key.tags == {"team": "core"}
        assert {(row.scope, row.scope_id, row.kind, row.limit) for row in Limit.objects.all()} == {
            ("key", key.id, "requests", 600),
            ("key", key.id, "concurrency", 10),
            ("tenant", "", "tokens", 100_000),
            ("channel", channel.id, "requests", 5),
        }
        assert Quota.objects.get(kind="usd").amount == 50_050_000_000
        assert Membership.objects.get().user.email == "ann@example.com"
        assert not Membership.objects.get().user.has_usable_password()
        policy = selectors.policy_get()
        assert (policy.strategy, policy.attempts, policy.breaker_failures, policy.has_cooldown) == (
            "weighted", 4, 7, False,
        )  # fmt: skip
        assert policy.retry_total_s == 45
        assert selectors.aliases_by_name() == {"smart": "gpt-5.6"}
        assert selectors.fallbacks_by_model() == {"gpt-5.6": ["claude-sonnet-5"]}


def test_importing_twice_changes_nothing_and_leaves_no_trace():
    config_import(text=WHOLE)
    version, audits, people = version_of(northwind()), audits_of(northwind()), User.objects.count()
    report = config_import(text=WHOLE)
    assert report.count("created") == report.count("changed") == 0 and report.count("unchanged") > 10
    assert (version_of(northwind()), audits_of(northwind())) == (version, audits)
    assert User.objects.count() == people


def test_a_dry_run_reports_what_the_import_does_and_changes_nothing():
    elsewhere = WHOLE.replace("slug: northwind", "slug: newcomer")
    would = config_validate(text=elsewhere)
    assert not Tenant.objects.filter(slug="newcomer").exists()
    did = config_import(text=elsewhere)
    assert would.changes == did.changes and did.has_changes
    assert Tenant.objects.get(slug="newcomer").name == "Northwind"
    config_import(text=WHOLE.replace(SECRET, keys.mint()))
    version = version_of(northwind())
    assert config_validate(
        text=WHOLE.replace("priority: 100", "priority: 7").replace(f"secret: {SECRET}", "")
    ).has_changes
    assert version_of(northwind()) == version


def test_a_change_is_reported_by_field_and_bumps_the_version():
    config_import(text=WHOLE)
    version = version_of(northwind())
    report = config_import(text=WHOLE.replace("priority: 100", "priority: 7").replace("limit: 600", "limit: 700"))
    changed = {(change.kind, change.name): change.fields for change in report.changes if change.action == "changed"}
    assert changed == {
        ("channel", "northwind/channel/main"): ("priority",),
        ("limit", "northwind/key/ci/limit/requests-60s"): ("limit",),
    }
    assert version_of(northwind()) > version


def test_what_an_import_changes_was_backed_up_before():
    config_import(text=WHOLE)
    config_import(text=WHOLE)
    with tenant_scope(northwind().id):
        [first] = selectors.backups_newest()
    assert "channels: []" in first.document and first.reason == "before an import"
    config_import(text=WHOLE.replace("priority: 100", "priority: 7"))
    with tenant_scope(northwind().id):
        newest = selectors.backups_newest()[0]
    config_import(text=newest.document, only_tenant=northwind())
    with tenant_scope(northwind().id):
        assert Channel.objects.get().priority == 100


def test_what_a_document_does_not_mention_stays():
    config_import(text=WHOLE)
    before = config_export(tenants=[northwind()], is_operator=True)
    report = config_import(text=document("keys: [{slug: ci}]", "channels: [{slug: main}]"))
    assert not report.has_changes
    assert config_export(tenants=[northwind()], is_operator=True) == before


def test_a_limit_keeps_its_row_over_a_reimport_so_that_its_counters_survive():
    config_import(text=WHOLE)
    with tenant_scope(northwind().id):
        before = set(Limit.objects.values_list("id", flat=True))
    config_import(text=WHOLE.replace("limit: 600", "limit: 601").replace("limit: 10}", "limit: 11}"))
    with tenant_scope(northwind().id):
        assert set(Limit.objects.values_list("id", flat=True)) == before


def test_a_key_without_a_secret_is_made_and_handed_over_once():
    report = config_import(text=document("keys: [{slug: ci}]"))
    secret = report.made_keys["northwind/ci"]
    assert keys.is_well_formed(secret) and secret not in repr(report)
    assert config_import(text=document("keys: [{slug: ci}]")).made_keys == {}
    with tenant_scope(northwind().id):
        assert bytes(GatewayKey.objects.get().digest) == keys.digest(secret)


def test_another_secret_replaces_a_keys_and_audits_it_without_the_secret():
    config_import(text=WHOLE)
    fresh = keys.mint()
    report = config_import(text=WHOLE.replace(SECRET, fresh))
    assert [change.fields for change in report.changes if change.action == "changed"] == [("secret",)]
    with tenant_scope(northwind().id):
        assert bytes(GatewayKey.objects.get().digest) == keys.digest(fresh)
        assert not any(fresh in str(event.changes) for event in AuditEvent.objects.all())


def test_a_keys_networks_are_compared_in_their_one_form_and_stay_when_left_out():
    def fields(text: str) -> list[tuple[str, ...]]:
        return [change.fields for change in config_import(text=text).changes if change.action == "changed"]

    config_import(text=document('keys: [{slug: ci, ips: ["10.0.0.0/8", "2001:DB8::1"]}]'))
    assert fields(document('keys: [{slug: ci, ips: ["10.0.0.0/255.0.0.0", "2001:db8::1/128"]}]')) == []
    assert fields(document("keys: [{slug: ci}]")) == []
    [told] = yaml.safe_load(config_export(tenants=[northwind()]))["tenants"][0]["keys"]
    assert told["ips"] == ["10.0.0.0/8", "2001:db8::1"]
    assert fields(document("keys: [{slug: ci, ips: [203.0.113.9]}]")) == [("allowed_ips",)]
    assert fields(document("keys: [{slug: ci, ips: []}]")) == [("allowed_ips",)]
    with tenant_scope(northwind().id):
        assert GatewayKey.objects.get().allowed_ips == []


def test_a_network_that_is_none_is_named_with_its_line():
    [(pointer, message, line)] = problems_of(document("keys: [{slug: ci, ips: [10.0.0.0/8, 10.1.2.3/8]}]"))
    assert (pointer, line) == ("/tenants/0/keys/0/ips/1", 4)
    assert message.endswith("Write the network, 10.0.0.0/8, or the single address, 10.1.2.3.")


def test_a_revoked_key_stays_revoked():
    config_import(text=WHOLE)
    with tenant_scope(northwind().id):
        key_revoke(key=GatewayKey.objects.get())
    report = config_import(text=WHOLE)
    assert "revoked" in report.warnings[0]
    with tenant_scope(northwind().id):
        assert GatewayKey.objects.get().state == KeyState.REVOKED
    assert "slug: ci" not in config_export(tenants=[northwind()])


def test_the_same_credential_is_no_change_and_another_is():
    config_import(text=WHOLE)
    report = config_import(text=WHOLE.replace("sk-secret-of-northwind", "sk-other-secret-of-it"))
    assert [change.fields for change in report.changes if change.action == "changed"] == [("credentials",)]
    with tenant_scope(northwind().id):
        assert unseal(UpstreamCredential.objects.get().sealed) == "sk-other-secret-of-it"


def test_a_stored_credential_does_not_follow_a_channel_to_another_host():
    config_import(text=WHOLE)
    moved = document("channels:", "  - {slug: main, base_url: https://elsewhere.example/v1}")
    [(pointer, message, line)] = problems_of(moved)
    assert pointer == "/tenants/0/channels/0/base_url" and "again" in message and line == 5
    again = moved.replace("slug: main,", "slug: main, credentials: [{slug: main, api_key: sk-secret-of-northwind}],")
    assert config_import(text=again).has_changes


@pytest.mark.parametrize(
    ("text", "pointer", "said", "line"),
    [
        ("tenants: []", "", "apiVersion", 1),
        ("apiVersion: routex/v2", "/apiVersion", "routex/v1", 1),
        (document("chanels: []"), "/tenants/0/chanels", "Did you mean 'channels'?", 4),
        (document("name: 7"), "/tenants/0/name", "Expected str", 4),
        (document("quotas: [{usd: 50.1}]"), "/tenants/0/quotas/0/usd", "float", 4),
        (document('quotas: [{usd: "-1"}]'), "/tenants/0/quotas/0", "not between", 4),
        (document("quotas: [{usd: 5, tokens: 5}]"), "/tenants/0/quotas/0", "exactly one", 4),
        (document('quotas: [{usd: "5", tag: core}]'), "/tenants/0/quotas/0/tag", "no tag", 4),
        (
            document('keys: [{slug: k, quotas: [{usd: "5", tag: "a=b"}]}]'),
            "/tenants/0/keys/0/quotas/0/tag",
            "under the tenant",
            4,
        ),
        (document("keys: [{slug: ci, secret: sk-123}]"), "/tenants/0/keys/0/secret", "complete key", 4),
        (document("keys: [{slug: ci}, {slug: ci}]"), "/tenants/0/keys/1/slug", "twice", 4),
        (document("keys: [{slug: ci, models: []}]"), "/tenants/0/keys/0/models", "length", 4),
        (document("timezone: Mars/North"), "/tenants/0/timezone", "time zone", 4),
        (document("members: [{email: nobody, role: admin}]"), "/tenants/0/members/0/email", "e-mail|email", 4),
        (
            document("channels: [{slug: a, provider: opnai, models: [m]}]"),
            "/tenants/0/channels/0/provider",
            "openai",
            4,
        ),
        (document("channels: [{slug: a, models: [m]}]"), "/tenants/0/channels/0", "needs a provider", 4),
        (
            document("channels: [{slug: a, provider: openai, models: [m], transformers: [nonsense]}]"),
            "/tenants/0/channels/0/transformers",
            "no transformer 'nonsense'",
            4,
        ),
        (
            document("channels: [{slug: a, provider: openai, models: [m], transformers: [{maxtoken: {max: 1}}]}]"),
            "/tenants/0/channels/0/transformers",
            "unknown field `max`",
            4,
        ),
        (document("channels:", "- slug: Not A Slug"), "/tenants/0/channels/0/slug", "lower-case", 5),
        (document("rules: [{slug: r, type: think}]"), "/tenants/0/rules/0/targets", "where the rule goes", 4),
        (document("rules: [{slug: r, type: thinking, target: {model: m}}]"), "/tenants/0/rules/0/type", "no type", 4),
        (
            document("rules: [{slug: r, condition: {keyword: [x]}, target: {model: m}}]"),
            "/tenants/0/rules/0/condition",
            "There is no condition 'keyword'",
            4,
        ),
        (document("rules: [{slug: r, target: {chanel: m}}]"), "/tenants/0/rules/0/target/chanel", "channel", 4),
        (document("rules: [{slug: r}, {slug: r}]"), "/tenants/0/rules/1/slug", "twice", 4),
        (document("policy: {strategy: magic}"), "/tenants/0/policy/strategy", "priority", 4),
        (document("name: A", "name: B"), "/tenants/0/name", "twice", 5),
        ("apiVersion: [", "", "well-formed YAML", 1),
        ('{"apiVersion": "routex/v1",}', "", "well-formed JSON", 1),
        (document("a: &a {b: 1}", "c: !!python/object/apply:os.system [id]"), "", "well-formed YAML", 5),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, pointer, said, line):
    found = problems_of(text)
    assert found[0][0] == pointer and found[0][2] == line
    assert any(word in found[0][1] for word in said.split("|")), found


def test_every_unknown_key_is_named_but_for_notes_of_ones_own():
    found = problems_of(document("nmae: A", "x-note: {anything: goes}", "limitz: []"))
    assert [pointer for pointer, _, _ in found] == ["/tenants/0/nmae", "/tenants/0/limitz"]


def test_one_wrong_part_leaves_everything_as_it_was():
    with transaction.atomic():
        problems_of(document("aliases: {smart: gpt}", "policy: {strategy: magic}", slug="newcomer"))
        problems_of(document("aliases: {smart: gpt}", "policy: {strategy: magic}"))
    assert not Tenant.objects.filter(slug="newcomer").exists()
    with tenant_scope(northwind().id):
        assert selectors.aliases_by_name() == {}


@pytest.mark.parametrize("aliases", ["{quick: fast, fast: gpt}", "{fast: gpt, quick: fast}"])
def test_an_alias_of_an_alias_is_refused_unless_a_model_has_that_name(aliases):
    [(pointer, message, _)] = problems_of(document(f"aliases: {aliases}"))
    assert pointer.startswith("/tenants/0/aliases/") and "an alias" in message
    channels = "channels: [{slug: one, provider: echo, models: [fast]}]"
    assert config_import(text=document(channels, f"aliases: {aliases}")).has_changes


def test_json_and_toml_say_the_same_as_yaml():
    config_import(text=document('quotas: [{usd: "1.5", window: day}]'))
    as_json = (
        '{"apiVersion": "routex/v1", "tenants": [{"slug": "northwind", "quotas": [{"usd": "1.5", "window": "day"}]}]}'
    )
    as_toml = 'apiVersion = "routex/v1"\n[[tenants]]\nslug = "northwind"\nquotas = [{usd = "1.5", window = "day"}]\n'
    assert not config_import(text=as_json).has_changes
    assert not config_import(text=as_toml, name="routex.toml").has_changes


def test_anchors_that_multiply_are_refused():
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
    assert "too large" in problems_of(bomb)[0][1]


@pytest.mark.parametrize("format", ["yaml", "json", "toml"])
def test_a_text_that_is_nested_too_deeply_is_refused(format):
    assert "nested too deeply" in problems_of(("a = " if format == "toml" else "") + "[" * 50_000, format=format)[0][1]


def test_a_text_that_would_take_long_to_read_is_refused():
    assert "1,000,001 characters" in problems_of("#" * 1_000_001)[0][1]


# --- two tenants


def test_a_tenants_document_reaches_that_tenant_only(cast):
    text = document("aliases: {smart: gpt}", slug="rival")
    [(pointer, message, _)] = problems_of(text, only_tenant=cast.acme)
    assert pointer == "/tenants/0/slug" and "rival" in message
    with tenant_scope(cast.rival.id):
        assert selectors.aliases_by_name() == {}


def test_a_tenants_document_opens_no_private_range(cast):
    [(pointer, _, _)] = problems_of(document("private_upstreams: [10.0.0.0/8]", slug="acme"), only_tenant=cast.acme)
    assert pointer == "/tenants/0/private_upstreams"


def test_a_tenants_document_creates_no_tenant(cast):
    problems_of(document("name: New", slug="newcomer"), only_tenant=cast.acme)
    assert not Tenant.objects.filter(slug="newcomer").exists()


def test_another_tenants_key_is_refused_without_telling_whose_it_is(cast):
    text = document(f"keys: [{{slug: mine, secret: {cast.rival_key}}}]", slug="acme")
    [(pointer, message, _)] = problems_of(text, only_tenant=cast.acme)
    assert pointer == "/tenants/0/keys/0" and "rival" not in message
    assert cast.rival_key not in message


def test_an_import_leaves_the_other_tenants_version_alone(cast):
    before = version_of(cast.rival)
    config_import(text=document("aliases: {smart: gpt}", slug="acme"), only_tenant=cast.acme)
    assert version_of(cast.rival) == before
    with platform_scope():
        assert not AuditEvent.objects.filter(tenant=cast.rival, action="alias.set").exists()
