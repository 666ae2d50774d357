"""What the admin pages do: secrets once, audit lines, configuration versions, and what they refuse."""

from __future__ import annotations

import re

import pytest

from channels_app.models import Channel, UpstreamCredential
from channels_app.secrets import unseal
from routing.models import RoutingRule
from tenants.context import platform_scope, tenant_scope
from tenants.models import (
    AuditEvent,
    ConfigState,
    GatewayKey,
    KeyState,
    Limit,
    ManagementToken,
    Membership,
    Quota,
    Tenant,
    User,
)
from tenants.selectors import key_by_secret, tenant_by_slug, token_by_secret
from tenants.services import key_issue, user_create
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

ADMIN = "/t/acme/admin"
SECRET = "sk-upstream-0123456789abcdefWXYZ"
EVERYTHING = {"allowed_models": "*", "allowed_channels": "*"}


@pytest.fixture
def alice(cast, at_console):
    return at_console(cast.alice)


@pytest.fixture
def root(cast, at_console):
    return at_console(user_create(email="root@example.com", password=PASSWORD, is_platform_admin=True))


def version_of(tenant) -> int:
    with tenant_scope(tenant.id):
        state = ConfigState.objects.filter(pk=tenant.id).first()
        return state.version if state else 0


def channel_form(**given) -> dict[str, object]:
    return {
        "slug": "main",
        "provider": "openai",
        "base_url": "",
        "is_enabled": "on",
        "served_models": "gpt-5.6\nfast = gpt-5.6-mini",
        "priority": 0,
        "weight": 1,
        **dict.fromkeys(("connect_s", "first_byte_s", "idle_s", "total_s"), 5),
        "prices": "{}",
        "credentials-TOTAL_FORMS": 1,
        "credentials-INITIAL_FORMS": 0,
        "credentials-0-slug": "main",
        "credentials-0-secret": SECRET,
    } | given


def stored_channel(cast, alice) -> Channel:
    assert alice.post(f"{ADMIN}/channels_app/channel/add/", channel_form()).status_code == 302
    with tenant_scope(cast.acme.id):
        return Channel.objects.get(slug="main")


def stored_credential_form(channel: Channel, **given) -> dict[str, object]:
    credential = channel.credentials.get()
    return channel_form(
        **{
            "credentials-INITIAL_FORMS": 1,
            "credentials-0-id": credential.pk,
            "credentials-0-channel": channel.pk,
            "credentials-0-secret": "",
        }
        | given
    )


def test_a_new_key_is_shown_once_and_works(cast, alice):
    answer = alice.post(f"{ADMIN}/tenants/gatewaykey/add/", {"slug": "ci", **EVERYTHING, "tags": "team=core"})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    [secret] = re.findall(r"rtx_[0-9A-Za-z]{38}", answer.content.decode())
    key = key_by_secret(secret=secret)
    assert key is not None
    assert (key.tenant_id, key.slug, key.tags) == (cast.acme.id, "ci", {"team": "core"})
    for path in ("", f"{key.pk}/change/", f"{key.pk}/history/"):
        assert secret not in alice.get(f"{ADMIN}/tenants/gatewaykey/{path}").content.decode()
    again = alice.post(f"{ADMIN}/tenants/gatewaykey/add/", {"slug": "ci", **EVERYTHING})
    assert not re.findall(r"rtx_[0-9A-Za-z]{38}", again.content.decode())
    assert "already exists" in again.content.decode()
    with tenant_scope(cast.acme.id):
        assert [event.actor for event in AuditEvent.objects.filter(action="key.created", object_id=key.pk)] == [
            "alice@example.com"
        ]


def test_a_key_is_revoked_for_good_and_never_deleted(cast, alice):
    with tenant_scope(cast.acme.id):
        key, secret = key_issue(tenant_id=cast.acme.id, slug="leaked")
    alice.post(f"{ADMIN}/tenants/gatewaykey/", {"action": "revoke", "_selected_action": key.pk, "index": 0})
    assert key_by_secret(secret=secret) is None
    alice.post(f"{ADMIN}/tenants/gatewaykey/{key.pk}/change/", {"slug": "leaked", "state": "active", **EVERYTHING})
    assert alice.post(f"{ADMIN}/tenants/gatewaykey/{key.pk}/delete/", {"post": "yes"}).status_code == 403
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.get(pk=key.pk).state == KeyState.REVOKED


def test_the_button_on_its_page_revokes_a_key(cast, alice):
    with tenant_scope(cast.acme.id):
        key, secret = key_issue(tenant_id=cast.acme.id, slug="old")
    form = {"slug": "old", "state": "active", **EVERYTHING, "tags": ""}
    page = alice.get(f"{ADMIN}/tenants/gatewaykey/{key.pk}/change/").content.decode()
    [button] = re.findall(r'name="([^"]*revoke_this[^"]*)"', page)
    alice.post(f"{ADMIN}/tenants/gatewaykey/{key.pk}/change/", form | {button: "1"})
    assert key_by_secret(secret=secret) is None


def test_a_keys_networks_are_lines_of_its_form(cast, alice):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="at-home")[0]
    path, form = f"{ADMIN}/tenants/gatewaykey/{key.pk}/change/", {"slug": "at-home", "state": "active", **EVERYTHING}
    refused = alice.post(path, form | {"allowed_ips": "10.0.0.0/8\n10.1.2.3/8"}).content.decode()
    assert "Write the network, 10.0.0.0/8, or the single address, 10.1.2.3." in refused
    alice.post(path, form | {"allowed_ips": "10.0.0.0/8\n2001:DB8::1/128\n"})
    alice.post(path, form | {"allowed_ips": "10.0.0.0/8\n2001:db8::1"})
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.get(pk=key.pk).allowed_ips == ["10.0.0.0/8", "2001:db8::1"]
        changes = [event.changes for event in AuditEvent.objects.filter(action="key.updated", object_id=key.pk)]
    assert {"allowed_ips": [[], ["10.0.0.0/8", "2001:db8::1"]]} in changes
    assert not any("allowed_ips" in each for each in changes[:-1]), "the same networks in other words are no change"
    alice.post(f"{ADMIN}/tenants/gatewaykey/add/", {"slug": "new-home", **EVERYTHING, "allowed_ips": "203.0.113.9"})
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.get(slug="new-home").allowed_ips == ["203.0.113.9"]


def test_a_changed_key_leaves_an_audit_line_and_its_history_shows_it(cast, alice):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="narrow")[0]
    form = {"slug": "narrow", "state": "active", "allowed_models": "gpt-*\nclaude-*", "allowed_channels": "*"}
    alice.post(f"{ADMIN}/tenants/gatewaykey/{key.pk}/change/", form)
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.get(pk=key.pk).allowed_models == ["gpt-*", "claude-*"]
        event = AuditEvent.objects.get(action="key.updated", object_id=key.pk)
    assert event.changes == {"allowed_models": [["*"], ["gpt-*", "claude-*"]]}
    assert "claude-*" in alice.get(f"{ADMIN}/tenants/gatewaykey/{key.pk}/history/").content.decode()


def test_a_channel_is_made_with_its_credential_sealed_and_never_shown(cast, alice):
    before = version_of(cast.acme)
    channel = stored_channel(cast, alice)
    assert version_of(cast.acme) > before
    assert channel.served_models == ["gpt-5.6", {"name": "fast", "upstream": "gpt-5.6-mini"}]
    with tenant_scope(cast.acme.id):
        assert unseal(channel.credentials.get().sealed) == SECRET
        assert SECRET not in str(list(AuditEvent.objects.values_list("changes", flat=True)))
        assert AuditEvent.objects.filter(action="channel.created", object_id=channel.pk).count() == 1
    for path in ("", f"{channel.pk}/change/", f"{channel.pk}/history/", f"{channel.pk}/delete/"):
        page = alice.get(f"{ADMIN}/channels_app/channel/{path}").content.decode()
        assert SECRET not in page
        assert ("WXYZ" in page) == path.endswith(("change/", "history/", "delete/"))


def test_saving_a_channel_without_typing_a_secret_keeps_the_stored_one(cast, alice):
    channel = stored_channel(cast, alice)
    with tenant_scope(cast.acme.id):
        form = stored_credential_form(channel, priority=7)
    assert alice.post(f"{ADMIN}/channels_app/channel/{channel.pk}/change/", form).status_code == 302
    with tenant_scope(cast.acme.id):
        changed = Channel.objects.get(pk=channel.pk)
        assert changed.priority == 7
        assert unseal(changed.credentials.get().sealed) == SECRET


def test_a_channel_that_moves_to_another_server_asks_for_its_secret_again(cast, alice):
    channel = stored_channel(cast, alice)
    with tenant_scope(cast.acme.id):
        form = stored_credential_form(channel, base_url="https://elsewhere.example/v1")
    answer = alice.post(f"{ADMIN}/channels_app/channel/{channel.pk}/change/", form)
    assert "Type the secrets again" in answer.content.decode()
    form["credentials-0-secret"] = "sk-another-0123456789abcdef"
    assert alice.post(f"{ADMIN}/channels_app/channel/{channel.pk}/change/", form).status_code == 302


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"provider": "openai-compatible"}, "needs a base URL"),
        ({"served_models": ""}, "Name at least one model"),
        ({"credentials-0-secret": ""}, "OpenAI needs a credential"),
        ({"credentials-0-secret": "", "credentials-0-slug": "second"}, "needs its secret"),
        ({"credentials-0-secret": "two\nlines"}, "one line"),
        ({"provider": "bedrock"}, "such as https://bedrock-runtime."),
        ({"provider": "vertex", "base_url": "https://aiplatform.googleapis.com"}, "names project and location"),
        (
            {
                "provider": "vertex",
                "base_url": "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
                "credentials-0-secret": "AIza",
            },
            "the whole JSON file",
        ),
        ({"slug": "New Channel"}, "A slug has"),
        ({"transformers": "{oops"}, "no JSON object"),
        ({"transformers": "nonsense"}, "There is no transformer"),
        ({"transformers": '{"maxtoken": {"max": 1}}'}, "unknown field"),
    ],
)
def test_a_wrong_channel_is_refused_at_the_field(cast, alice, wrong, message):
    answer = alice.post(f"{ADMIN}/channels_app/channel/add/", channel_form(**wrong))
    assert answer.status_code == 200
    assert message in answer.content.decode()


def test_channels_are_switched_off_and_deleted(cast, alice):
    channel = stored_channel(cast, alice)
    alice.post(f"{ADMIN}/channels_app/channel/", {"action": "disable", "_selected_action": channel.pk, "index": 0})
    with tenant_scope(cast.acme.id):
        assert not Channel.objects.get(pk=channel.pk).is_enabled
    before = version_of(cast.acme)
    alice.post(f"{ADMIN}/channels_app/channel/{channel.pk}/delete/", {"post": "yes"})
    assert version_of(cast.acme) > before
    with tenant_scope(cast.acme.id):
        assert not UpstreamCredential.objects.exists()
        assert AuditEvent.objects.filter(action="channel.deleted", object_id=channel.pk).exists()


def test_limits_and_quotas_name_keys_by_slug_and_money_in_dollars(cast, alice):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="ci")[0]
    limit = {"scope": "key", "scope_slug": "ci", "kind": "requests", "limit": 60, "window_s": 60}
    assert alice.post(f"{ADMIN}/tenants/limit/add/", limit).status_code == 302
    quota = {"scope": "tenant", "scope_slug": "", "kind": "usd", "amount": "12.50", "window": "month"}
    assert alice.post(f"{ADMIN}/tenants/quota/add/", quota).status_code == 302
    with tenant_scope(cast.acme.id):
        assert Limit.objects.get().scope_id == key.pk
        assert Quota.objects.get().amount == 12_500_000_000
    assert "key ci" in alice.get(f"{ADMIN}/tenants/limit/").content.decode()
    page = alice.get(f"{ADMIN}/tenants/quota/").content.decode()
    assert "$12.5 per month" in page
    assert "$0.00 (0 %)" in page


def test_a_limit_of_models_takes_the_options_of_its_algorithm_and_no_others(cast, alice):
    form = {
        "scope": "model", "scope_slug": "gpt-*", "kind": "requests", "limit": 60, "window_s": 30,
        "algorithm": "token_bucket", "options": '{"burst": 9}',
    }  # fmt: skip
    wrong = alice.post(f"{ADMIN}/tenants/limit/add/", form | {"options": '{"queue": 9}'})
    assert wrong.status_code == 200 and "unknown field" in wrong.content.decode()
    assert alice.post(f"{ADMIN}/tenants/limit/add/", form).status_code == 302
    assert "model gpt-*" in alice.get(f"{ADMIN}/tenants/limit/").content.decode()


def test_a_twin_of_a_limit_and_a_limit_of_nobody_are_refused_at_the_form(cast, alice):
    form = {"scope": "tenant", "scope_slug": "", "kind": "requests", "limit": 60, "window_s": 60}
    alice.post(f"{ADMIN}/tenants/limit/add/", form)
    assert alice.post(f"{ADMIN}/tenants/limit/add/", form).status_code == 200
    answer = alice.post(f"{ADMIN}/tenants/limit/add/", form | {"scope": "channel", "scope_slug": "none"})
    assert "There is no channel with this slug" in answer.content.decode()


def test_a_member_is_added_by_address_and_the_last_administrator_stays(cast, alice):
    alice.post(f"{ADMIN}/tenants/membership/add/", {"email": "eve@example.com", "role": "viewer"})
    with tenant_scope(cast.acme.id):
        eve = Membership.objects.get(user__email="eve@example.com")
        own = Membership.objects.get(user=cast.alice)
    assert not eve.user.has_usable_password()
    answer = alice.post(f"{ADMIN}/tenants/membership/{own.pk}/change/", {"role": "viewer"})
    assert "last administrator" in answer.content.decode()
    assert alice.post(f"{ADMIN}/tenants/membership/{own.pk}/delete/", {"post": "yes"}).status_code == 403
    alice.post(f"{ADMIN}/tenants/membership/{eve.pk}/delete/", {"post": "yes"})
    with tenant_scope(cast.acme.id):
        assert not Membership.objects.filter(pk=eve.pk).exists()


def test_the_policy_page_is_the_form_and_there_is_one(cast, alice):
    path = alice.get(f"{ADMIN}/routing/routingpolicy/", follow=True).redirect_chain[-1][0]
    assert path.endswith("/add/")
    form = {"strategy": "weighted", "attempts": 2, "retry_total_s": 60, "breaker_failures": 5, "breaker_open_s": 60}
    form |= {"session_ttl_s": 60, "session_cleanup_interval_s": 60}
    alice.post(path, form)
    path = alice.get(f"{ADMIN}/routing/routingpolicy/", follow=True).redirect_chain[-1][0]
    assert path.endswith("/change/")
    assert alice.get(f"{ADMIN}/routing/routingpolicy/add/").status_code == 403


def test_an_alias_is_listed_in_the_audit_trail_even_with_a_long_name(cast, alice):
    name = "a" * 150
    alice.post(f"{ADMIN}/routing/modelalias/add/", {"name": name, "target": "echo"})
    assert name[:100] in alice.get(f"{ADMIN}/tenants/auditevent/").content.decode()
    assert "alias.created" in alice.get(f"{ADMIN}/routing/modelalias/{name}/history/").content.decode()


def test_a_tenant_is_made_suspended_with_a_reason_and_never_deleted(cast, root):
    form = {"slug": "fresh", "name": "Fresh", "timezone": "UTC", "state": "active"}
    assert root.post("/admin/tenants/tenant/add/", form).status_code == 302
    tenant = tenant_by_slug(slug="fresh")
    assert tenant is not None
    path = f"/admin/tenants/tenant/{tenant.pk}/change/"
    assert "Say why" in root.post(path, form | {"state": "suspended"}).content.decode()
    change = {"state": "suspended", "suspended_reason": "unpaid", "private_upstreams": "10.1.2.3/8"}
    before = version_of(tenant)
    assert root.post(path, form | change).status_code == 302
    tenant.refresh_from_db()
    assert (tenant.state, tenant.private_upstreams) == (Tenant.State.SUSPENDED, ["10.0.0.0/8"])
    assert version_of(tenant) > before
    assert root.post(path.replace("change", "delete"), {"post": "yes"}).status_code == 403


def test_a_platform_token_is_shown_once_and_belongs_to_no_tenant(cast, root):
    answer = root.post("/admin/tenants/managementtoken/add/", {"slug": "ops", "role": "admin"})
    [secret] = re.findall(r"rtxm_[0-9A-Za-z]{38}", answer.content.decode())
    token = token_by_secret(secret=secret)
    assert token is not None
    assert token.tenant_id is None
    root.post("/admin/tenants/managementtoken/", {"action": "revoke", "_selected_action": token.pk, "index": 0})
    assert token_by_secret(secret=secret) is None
    with platform_scope():
        assert ManagementToken.objects.filter(pk=token.pk).exists()


def test_people_get_passwords_but_nobody_demotes_themselves(cast, root):
    form = {"email": "new@example.com", "is_active": "on", "new_password": "a long enough phrase"}
    assert root.post("/admin/tenants/user/add/", form).status_code == 302
    assert User.objects.get(email="new@example.com").check_password("a long enough phrase")
    weak = root.post("/admin/tenants/user/add/", form | {"email": "weak@example.com", "new_password": "12345678"})
    assert "too common" in weak.content.decode()
    me = User.objects.get(email="root@example.com")
    root.post(f"/admin/tenants/user/{me.pk}/change/", {"email": "root@example.com"})
    me.refresh_from_db()
    assert me.is_superuser
    assert me.is_active
    with platform_scope():
        assert "a long enough phrase" not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


def test_a_failing_platform_page_leaves_no_half_done_write(cast, root, monkeypatch):
    root.raise_request_exception = False

    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr("tenants.admin_sites.audit_record", fail)
    form = {"email": "half@example.com", "is_active": "on", "new_password": ""}
    assert root.post("/admin/tenants/user/add/", form).status_code == 500
    assert not User.objects.filter(email="half@example.com").exists()


def test_a_rule_is_written_and_a_wrong_one_refused_at_its_field(cast, alice):
    form = {"slug": "plans", "type": "custom", "condition": '{"keywords": ["plan"]}', "targets": '{"model": "m"}'}
    form |= {"priority": "5", "is_enabled": "on", "description": ""}
    path = f"{ADMIN}/routing/routingrule/add/"
    refused = alice.post(path, form | {"condition": '{"keyword": ["plan"]}'})
    assert refused.status_code == 200
    assert "There is no condition" in refused.content.decode()
    before = version_of(cast.acme)
    assert alice.post(path, form).status_code == 302
    assert version_of(cast.acme) > before
    with tenant_scope(cast.acme.id):
        rule = RoutingRule.objects.get(slug="plans")
        assert (rule.condition, rule.targets) == ({"keywords": ["plan"]}, [{"model": "m"}])
        assert AuditEvent.objects.filter(action="rule.created", object_id=rule.pk).count() == 1
    assert "model m" in alice.get(f"{ADMIN}/routing/routingrule/").content.decode()
