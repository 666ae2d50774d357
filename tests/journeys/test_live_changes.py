"""A committed change reaches every gateway process at once; a broken one, or a lost connection, stops none."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from django.conf import settings

from channels_app.models import Channel
from channels_app.services import channel_disable, channel_enable
from routing import snapshots
from tenants.context import platform_scope
from tenants.models import ConfigState, GatewayKey
from tenants.services import config_touch, key_revoke, key_update
from tests.journeys.processes import Gateway, eventually
from tests.journeys.tenants import chat, make_customer

pytestmark = pytest.mark.django_db(transaction=True)

#: Longest time until a change is live when the notice arrives; the poll that catches lost notices takes longer.
LIVE_S = 2.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pair(shopper, tmp_path_factory):
    """Two gateway processes."""
    folder = tmp_path_factory.mktemp("pair")
    processes = [Gateway(folder, "left"), Gateway(folder, "right")]
    yield processes
    for process in processes:
        process.stop()


@pytest.fixture
def customer(upstream, pair):
    """A tenant of the test's own, with a channel and a spare one, known to both gateways."""
    made = make_customer(f"changing-{next(_numbers)}", attempts=1, has_cooldown=False)
    made.add_channel(upstream, "first", "openai", ["m"], priority=9)
    made.add_channel(upstream, "spare", "openai", ["m"], priority=1)
    for gateway in pair:
        eventually(lambda gateway=gateway: served_by(gateway, made) == "first", "the tenant is live")
    return made


def answer(gateway, customer, key=""):
    return gateway.ask("/v1/chat/completions", chat("m"), key=key or customer.key)


def served_by(gateway, customer):
    """Return the channel that served a request, or the status of its refusal."""
    got = answer(gateway, customer)
    return got.headers.get("x-routex-channel") or got.status


def everywhere(pair, customer, expected, wait_s=LIVE_S):
    for gateway in pair:
        eventually(lambda gateway=gateway: served_by(gateway, customer) == expected, f"{expected} everywhere", wait_s)


def switch(customer, slug, service):
    with customer.scope():
        service(tenant_id=customer.id, channel=Channel.objects.get(slug=slug))


def test_a_channel_that_is_switched_off_is_avoided_and_then_refused_by_both(pair, customer):
    switch(customer, "first", channel_disable)
    everywhere(pair, customer, "spare")
    switch(customer, "spare", channel_disable)
    everywhere(pair, customer, 503)
    told = answer(pair[0], customer).json["error"]["message"]
    assert "all switched off (first: by an admin; spare: by an admin)" in told
    switch(customer, "first", channel_enable)
    everywhere(pair, customer, "first")


def test_a_new_key_is_taken_and_a_revoked_one_refused_by_both(pair, customer):
    key = customer.issue_key("second")
    for gateway in pair:
        eventually(lambda gateway=gateway: answer(gateway, customer, key).status == 200, "the key is known", LIVE_S)
    with customer.scope():
        key_revoke(key=GatewayKey.objects.get(slug="second"))
    for gateway in pair:
        eventually(lambda gateway=gateway: answer(gateway, customer, key).status == 401, "it is refused", LIVE_S)
        assert served_by(gateway, customer) == "first", "the other key is none the worse"


def test_a_key_is_limited_to_networks_and_let_out_again_by_both(pair, customer):
    key = customer.issue_key("third")
    for networks, status in (
        (["203.0.113.0/24"], 403),
        (["127.0.0.0/8", "::1"], 200),
        (["203.0.113.0/24"], 403),
        ([], 200),
    ):
        with customer.scope():
            key_update(key=GatewayKey.objects.get(slug="third"), allowed_ips=networks)
        for gateway in pair:
            eventually(lambda: answer(gateway, customer, key).status == status, f"{networks} holds", LIVE_S)  # noqa: B023
            assert served_by(gateway, customer) == "first", "the other key is none the worse"


def kill_gateway_connections():
    """End every connection that gateways have to PostgreSQL, and return how many there were."""
    url = dict(settings.DATABASES["default"])
    with psycopg.connect(
        host=url["HOST"], port=url["PORT"], user=url["USER"], password=url["PASSWORD"], dbname=url["NAME"]
    ) as connection:
        return connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name LIKE 'routex gateway%' AND pid <> pg_backend_pid()"
        ).fetchone()[0]


def test_a_gateway_that_lost_its_connections_serves_on_and_catches_up(pair, customer):
    killed = kill_gateway_connections()
    assert killed >= 4, "each gateway listens on one connection and asks on another"
    switch(customer, "first", channel_disable)
    key = customer.issue_key("after-the-loss")
    assert all(answer(gateway, customer).status == 200 for gateway in pair)
    everywhere(pair, customer, "spare", wait_s=10)
    for gateway in pair:
        eventually(lambda gateway=gateway: answer(gateway, customer, key).status == 200, "the new key is known", 10)
        assert "the database is away" in gateway.log
        eventually(lambda gateway=gateway: gateway.health["database"]["status"] == "ok", "it is connected again")


def test_a_configuration_that_does_not_compile_leaves_the_last_good_one_serving(pair, customer):
    with customer.scope():
        Channel.objects.filter(slug="first").update(provider="no-such-provider")
        config_touch(tenant_id=customer.id)
    with platform_scope():
        state = ConfigState.objects.get(pk=customer.id)
    assert "no-such-provider" in state.failure and state.snapshot_version < state.version
    assert [served_by(gateway, customer) for gateway in pair] == ["first", "first"]
    with customer.scope():
        Channel.objects.filter(slug="first").update(provider="openai", is_enabled=False)
        config_touch(tenant_id=customer.id)
    everywhere(pair, customer, "spare")


def test_a_snapshot_that_a_gateway_cannot_read_leaves_its_last_good_one_serving(pair, customer, monkeypatch):
    monkeypatch.setattr(snapshots, "encode_document", lambda document: b'{"from": "a newer Routex"}')
    switch(customer, "first", channel_disable)
    for gateway in pair:
        words = f"snapshot of tenant {customer.id} cannot be used here"
        eventually(lambda gateway=gateway, words=words: words in gateway.log, "the gateway says so")
        assert served_by(gateway, customer) == "first"
    monkeypatch.undo()
    with customer.scope():
        config_touch(tenant_id=customer.id)
    everywhere(pair, customer, "spare")


def test_a_process_that_died_before_publishing_loses_nothing(pair, customer, monkeypatch):
    monkeypatch.setattr("routing.snapshots.publish", lambda **_: None)
    switch(customer, "first", channel_disable)
    monkeypatch.undo()
    assert [served_by(gateway, customer) for gateway in pair] == ["first", "first"]
    assert snapshots.publish_stale() >= 1
    everywhere(pair, customer, "spare")
