"""Channels: what is written, what is refused, and that every write is on the audit trail without its secret."""

import datetime as dt
import json

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.utils import timezone

from channels_app import services
from channels_app.models import Channel, ChannelHealth, UpstreamCredential
from channels_app.secrets import unseal
from channels_app.selectors import channel_by_reference, health_newest, models_served
from tenants.context import tenant_scope
from tenants.models import AuditEvent, ConfigState

pytestmark = pytest.mark.django_db

SECRET = "sk-live-0123456789abcdef"


@pytest.fixture
def acme(cast):
    with tenant_scope(cast.acme.id):
        yield cast.acme.id


def make(acme, slug="main", **fields):
    given = {"provider": "openai", "served_models": ["gpt"], "credentials": {"main": SECRET}} | fields
    return services.channel_create(tenant_id=acme, actor="alice", slug=slug, **given)


def version(acme):
    return ConfigState.objects.get(pk=acme).version


def secrets_of(channel):
    return {c.slug: unseal(c.sealed) for c in UpstreamCredential.objects.filter(channel=channel)}


def test_a_new_channel_keeps_its_credential_sealed(acme):
    channel = make(acme, base_url="https://api.openai.com/v1/chat/completions")
    row = UpstreamCredential.objects.get(channel=channel)
    assert SECRET not in row.sealed and unseal(row.sealed) == SECRET and row.last_four == "cdef"
    assert Channel.objects.get().base_url == "https://api.openai.com/v1"


def test_a_credential_that_the_provider_cannot_use_is_refused_without_showing_it(acme):
    base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
    with pytest.raises(ValidationError, match="ACCESS_KEY_ID:SECRET_ACCESS_KEY") as caught:
        make(acme, provider="bedrock", base_url=base_url, credentials={"main": f"AKIA:{SECRET}:t:x"})
    assert list(caught.value.message_dict) == ["credentials"]
    assert SECRET not in str(caught.value)


def test_each_write_raises_the_version_once_and_is_audited(acme):
    at_start = version(acme)
    channel = make(acme)
    services.channel_update(tenant_id=acme, channel=channel, actor="alice", priority=5)
    services.channel_disable(tenant_id=acme, channel=channel, actor="alice")
    services.credential_set(tenant_id=acme, channel=channel, slug="second", secret="sk-another-secret", actor="alice")
    services.channel_delete(tenant_id=acme, channel=channel, actor="alice")
    assert version(acme) == at_start + 5
    events = AuditEvent.objects.filter(actor="alice").order_by("at", "pk")
    assert [event.action for event in events] == [
        "channel.created", "channel.updated", "channel.updated", "channel.updated", "channel.deleted",
    ]  # fmt: skip
    assert events[1].changes == {"priority": [0, 5]}
    told = json.dumps([event.changes for event in events], ensure_ascii=False)
    assert SECRET not in told and "sk-another-secret" not in told and "second …cret" in told


def test_an_update_that_changes_nothing_leaves_no_trace(acme):
    channel = make(acme)
    before = version(acme), AuditEvent.objects.count()
    services.channel_update(tenant_id=acme, channel=channel, slug="main", served_models=["gpt"], weight=1)
    assert (version(acme), AuditEvent.objects.count()) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "nobody"},
        {"slug": "Not A Slug"},
        {"slug": "test-all"},
        {"served_models": []},
        {"base_url": "ftp://x"},
        {"first_byte_s": 0},
        {"format": "smoke-signals"},
        {"credentials": {"main": None}},
        {"credentials": {"Not A Slug": SECRET}},
        {"credentials": {"main": ""}},
        {"weight": -1},
    ],
)
def test_a_wrong_channel_is_refused_and_nothing_of_it_stays(acme, fields):
    with pytest.raises(ValidationError):
        make(acme, **{"slug": "new"} | fields)
    assert Channel.objects.count() == UpstreamCredential.objects.count() == 0


def test_a_taken_slug_is_refused(acme):
    make(acme)
    with pytest.raises(ValidationError, match="already exists"):
        make(acme)


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://evil.example/v1"},
        {"base_url": "http://api.openai.com/v1"},
        {"base_url": "https://api.openai.com:8443/v1"},
        {"provider": "anthropic"},
    ],
)
def test_a_stored_credential_is_never_sent_to_another_server(acme, change):
    channel = make(acme)
    with pytest.raises(ValidationError, match="Give its credentials again"):
        services.channel_update(tenant_id=acme, channel=channel, **change)
    with pytest.raises(ValidationError, match="Give its credentials again"):
        services.channel_update(tenant_id=acme, channel=channel, credentials={"main": None}, **change)
    fresh = Channel.objects.get()
    services.channel_update(tenant_id=acme, channel=fresh, credentials={"main": "sk-for-the-new-one"}, **change)
    assert secrets_of(fresh) == {"main": "sk-for-the-new-one"}


def test_another_path_on_the_same_server_needs_no_credential(acme):
    channel = make(acme)
    services.channel_update(tenant_id=acme, channel=channel, base_url="https://api.openai.com/v2")
    assert secrets_of(channel) == {"main": SECRET}


def test_a_pool_of_credentials_is_kept_changed_and_shrunk_by_slug(acme):
    channel = make(acme, credentials={"a": SECRET, "b": "sk-b-0123456789"})
    services.channel_update(tenant_id=acme, channel=channel, credentials={"a": None, "c": "sk-c-0123456789"})
    assert secrets_of(channel) == {"a": SECRET, "c": "sk-c-0123456789"}
    with pytest.raises(ValidationError, match="comes without its secret"):
        services.channel_update(tenant_id=acme, channel=channel, credentials={"d": None})
    services.credential_delete(tenant_id=acme, credential=UpstreamCredential.objects.get(slug="a"))
    assert secrets_of(channel) == {"c": "sk-c-0123456789"}


def test_a_short_secret_does_not_tell_its_end(acme):
    make(acme, credentials={"main": "sk-12345"})
    assert UpstreamCredential.objects.get().last_four == ""


def test_a_channel_is_found_by_id_and_by_slug(acme):
    channel = make(acme)
    assert channel_by_reference(reference=channel.id) == channel == channel_by_reference(reference="main")
    assert channel_by_reference(reference="chn_" + "0" * 26) is None is channel_by_reference(reference="other")


def test_models_are_listed_with_who_serves_them(acme):
    make(acme, "one", served_models=["gpt", {"name": "fast", "upstream": "gpt-mini"}, "o*"])
    make(acme, "two", served_models=["gpt"], priority=9)
    make(acme, "off", served_models=["gpt", "hidden"], is_enabled=False)
    assert models_served() == {"gpt": ["two", "one"], "fast": ["one"]}


def test_health_keeps_the_newest_checks_of_the_last_days(acme, monkeypatch):
    monkeypatch.setattr(services, "HEALTH_KEPT", 3)
    channel, other = make(acme), make(acme, "other")
    old = services.health_record(channel_id=channel.id, is_up=True)
    ChannelHealth.objects.filter(pk=old.pk).update(at=timezone.now() - dt.timedelta(days=8))
    services.health_record(channel_id=other.id, is_up=True)
    for number in range(5):
        services.health_record(channel_id=channel.id, is_up=False, status=500, detail=str(number))
    kept = ChannelHealth.objects.filter(channel=channel).order_by("-at", "-pk")
    assert [row.detail for row in kept] == ["4", "3", "2"]
    assert ChannelHealth.objects.filter(channel=other).count() == 1
    assert health_newest(channel_ids=[channel.id, other.id])[channel.id].detail == "4"


def test_a_new_key_in_front_seals_every_credential_anew_so_that_the_old_one_may_go(acme, settings):
    old, new = list(settings.ENCRYPTION_KEYS), Fernet.generate_key().decode()
    channel = make(acme, credentials={"main": SECRET, "second": "sk-another-secret"})
    at_start = version(acme)
    settings.ENCRYPTION_KEYS = [new, *old]
    assert services.credentials_reseal(tenant_id=acme) == 2
    settings.ENCRYPTION_KEYS = [new]
    assert secrets_of(channel) == {"main": SECRET, "second": "sk-another-secret"}
    assert version(acme) == at_start + 1, "gateways load what they can still open"
    assert services.credentials_reseal(tenant_id=acme) == 0 and version(acme) == at_start + 1


def test_a_credential_that_no_key_opens_is_left_for_the_key_to_come_back(acme, settings):
    old = list(settings.ENCRYPTION_KEYS)
    channel = make(acme)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert services.credentials_reseal(tenant_id=acme) == 0
    settings.ENCRYPTION_KEYS = old
    assert secrets_of(channel) == {"main": SECRET}
