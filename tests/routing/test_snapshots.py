"""Publishing: from a committed change to bytes that gateways load, and what a crash or a bad row leaves behind."""

from uuid import uuid4

import pytest

from channels_app.models import Channel
from routing import snapshots
from routing.engine.document import decode_document
from routing.services import policy_set
from tenants.context import platform_scope, tenant_scope
from tenants.models import ConfigState
from tenants.services import config_touch, tenant_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(cast):
    return tenant_create(slug=f"own-{uuid4().hex[:12]}", name="Own")


def state_of(tenant):
    with platform_scope():
        return ConfigState.objects.get(tenant=tenant)


def add_channel(tenant, **fields):
    with tenant_scope(tenant.id):
        Channel.objects.create(**({"slug": "c", "provider": "openai", "served_models": ["m"]} | fields))
        config_touch(tenant_id=tenant.id)


def test_a_commit_publishes_a_snapshot_of_its_version(tenant):
    add_channel(tenant)
    state = state_of(tenant)
    document = decode_document(bytes(state.snapshot))
    assert document.version == state.version == state.snapshot_version
    assert [channel.slug for channel in document.channels] == ["c"]


def test_a_rolled_back_change_publishes_nothing(tenant):
    before = state_of(tenant)
    with pytest.raises(ZeroDivisionError), tenant_scope(tenant.id):
        config_touch(tenant_id=tenant.id)
        raise ZeroDivisionError
    assert state_of(tenant).version == before.version


def test_what_a_process_left_unpublished_is_published_by_the_next_look(tenant, monkeypatch):
    monkeypatch.setattr("routing.snapshots.publish", lambda **_: None)  # the process dies after the commit
    add_channel(tenant)
    assert state_of(tenant).snapshot_version < state_of(tenant).version
    monkeypatch.undo()
    assert snapshots.publish_stale() >= 1
    assert state_of(tenant).snapshot_version == state_of(tenant).version


def test_a_configuration_that_does_not_compile_leaves_the_last_good_one_and_says_so(tenant):
    add_channel(tenant)
    good = state_of(tenant)
    add_channel(tenant, slug="bad", provider="no-such-provider")
    state = state_of(tenant)
    assert bytes(state.snapshot) == bytes(good.snapshot)
    assert state.failed_version == state.version
    assert "no-such-provider" in state.failure
    assert snapshots.publish_stale() == 0, "a failed version is not compiled again and again"


def test_a_transformer_that_is_gone_is_named_with_its_channel(tenant):
    add_channel(tenant, slug="bad", transformers=["left-the-house"])
    failure = state_of(tenant).failure
    assert "'bad'" in failure and "'left-the-house'" in failure


def test_a_transformer_that_names_the_format_becomes_the_channels_format(tenant):
    add_channel(tenant, slug="plain", transformers=["openai"])
    add_channel(tenant, slug="own", format="openai-chat", transformers=["openai", "cleancache"])
    add_channel(tenant, slug="foreign", transformers=["gemini"])
    channels = {channel.slug: channel for channel in decode_document(bytes(state_of(tenant).snapshot)).channels}
    assert (channels["plain"].format, channels["plain"].transformers) == ("openai-chat", ())
    assert (channels["own"].format, channels["own"].transformers) == ("openai-chat", ("openai", "cleancache"))
    assert (channels["foreign"].format, channels["foreign"].transformers) == ("", ()), "OpenAI speaks no Gemini"


def test_the_policy_reaches_the_gateways_whole(tenant):
    wanted = {
        "strategy": "latency", "attempts": 7, "retry_total_s": 45.0, "is_session_enabled": False,
        "is_session_sticky": False, "session_ttl_s": 77, "session_cleanup_interval_s": 88, "breaker_failures": 9,
        "breaker_open_s": 10.0, "has_cooldown": False,
    }  # fmt: skip
    with tenant_scope(tenant.id):
        policy_set(tenant_id=tenant.id, **wanted)
    policy = decode_document(bytes(state_of(tenant).snapshot)).policy
    assert {name: getattr(policy, name) for name in wanted} == wanted
    assert set(policy.__struct_fields__) == set(wanted), "a field that the control plane does not fill"


def test_mending_the_row_clears_the_failure(tenant):
    add_channel(tenant, slug="bad", provider="no-such-provider")
    with tenant_scope(tenant.id):
        Channel.objects.filter(slug="bad").update(provider="openai")
        config_touch(tenant_id=tenant.id)
    state = state_of(tenant)
    assert state.failure == "" and state.snapshot_version == state.version


def test_a_snapshot_holds_the_tenants_own_channels_only(tenant, cast):
    add_channel(tenant, slug="mine")
    with platform_scope():
        others = ConfigState.objects.exclude(tenant=tenant).exclude(snapshot=b"")
        assert all(b'"mine"' not in bytes(state.snapshot) for state in others)
