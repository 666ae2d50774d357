"""Keys, limits, quotas and tenants over the management API."""

import datetime as dt
import json
import os

import psycopg
import pytest

from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.models import AuditEvent, ConfigState, GatewayKey, Quota, Tenant
from tenants.services import token_issue
from tests.api_calls import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(cast):
    return Api(token=cast.acme_token)


@pytest.fixture
def platform(cast):
    with platform_scope():
        return Api(token=token_issue(tenant_id=None, slug="ops")[1])


# --- Keys ---


def test_a_keys_secret_is_told_once(cast, acme):
    made = acme.post("/api/keys", {"slug": "ci", "models": ["gpt-*"], "tags": {"team": "core"}})
    secret = made.body["secret"]
    assert made.status == 201 and keys.is_well_formed(secret)
    assert made.headers["Cache-Control"] == "no-store"
    assert made.body["prefix"] == secret[:8] and made.body["last_four"] == secret[-4:]
    again = acme.get("/api/keys/ci")
    assert "secret" not in again.body and secret not in again.text and secret not in acme.get("/api/keys").text
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.get(slug="ci").digest == keys.digest(secret)
        assert secret not in json.dumps(list(AuditEvent.objects.values_list("changes", flat=True)))


def test_a_key_of_ones_own_is_taken_when_it_is_complete(acme):
    own = keys.mint()
    assert acme.post("/api/keys", {"slug": "own", "secret": own}).body["secret"] == own
    refused = acme.post("/api/keys", {"slug": "other", "secret": own[:-1]})
    assert refused.status == 400 and refused.pointers == ["/secret"] and own[:-1] not in refused.text
    assert acme.post("/api/keys", {"slug": "third", "secret": own}).status == 409


def test_a_secret_that_another_tenant_has_is_refused_without_a_word_about_it(cast, acme):
    refused = acme.post("/api/keys", {"slug": "guess", "secret": cast.rival_key})
    assert refused.status == 409 and "rival" not in refused.text


def test_a_key_is_changed_and_revoked_for_good(acme):
    acme.post("/api/keys", {"slug": "ci"})
    changed = acme.patch("/api/keys/ci", {"models": ["a", "b"], "tags": {"x": "1"}, "state": "disabled"})
    assert changed.body["models"] == ["a", "b"] and changed.body["state"] == "disabled"
    assert acme.patch("/api/keys/ci", {"tags": {"y": "2"}}).body["tags"] == {"x": "1", "y": "2"}
    assert acme.patch("/api/keys/ci", {"tags": {"x": None}, "models": None}).body["models"] == ["*"]
    assert acme.delete("/api/keys/ci").status == 204
    assert acme.get("/api/keys/ci").body["state"] == "revoked"
    back = acme.patch("/api/keys/ci", {"state": "active"})
    assert back.status == 409 and "final" in back.body["detail"]


def test_a_key_is_limited_to_networks_and_let_out_again(cast, acme):
    made = acme.post("/api/keys", {"slug": "ci", "allowed_ips": ["10.0.0.0/8", "2001:DB8::1/128", "10.0.0.0/8"]})
    assert made.body["allowed_ips"] == ["10.0.0.0/8", "2001:db8::1"]
    assert acme.patch("/api/keys/ci", {"tags": {"x": "1"}}).body["allowed_ips"] == ["10.0.0.0/8", "2001:db8::1"]
    assert acme.patch("/api/keys/ci", {"ips": ["::ffff:10.1.0.0/112"]}).body["allowed_ips"] == ["10.1.0.0/16"]
    assert acme.patch("/api/keys/ci", {"allowed_ips": None}).body["allowed_ips"] == []
    with tenant_scope(cast.acme.id):
        changes = AuditEvent.objects.filter(action="key.updated").order_by("at").values_list("changes", flat=True)
        assert changes[1] == {"allowed_ips": ["['10.0.0.0/8', '2001:db8::1']", "['10.1.0.0/16']"]}


def test_host_bits_are_refused_with_the_network_that_may_be_meant(acme):
    refused = acme.post("/api/keys", {"slug": "ci", "allowed_ips": ["10.0.0.0/8", "10.1.2.3/8"]})
    assert refused.pointers == ["/allowed_ips"] and "Write the network, 10.0.0.0/8," in refused.text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/slug"),
        ({"slug": "k", "allowed_ips": "10.0.0.0/8"}, "/allowed_ips"),
        ({"slug": "k", "allowed_ips": ["everywhere"]}, "/allowed_ips"),
        ({"slug": "k", "allowed_ips": [5]}, "/allowed_ips"),
        ({"slug": "UPPER"}, "/slug"),
        ({"slug": "api"}, "/slug"),
        ({"slug": "k", "model": ["x"]}, "/model"),
        ({"slug": "k", "models": []}, "/models"),
        ({"slug": "k", "expires_at": "tomorrow"}, "/expires_at"),
        ({"slug": "k", "tags": ["x"]}, "/tags"),
        ({"slug": "k", "state": "revoked"}, "/state"),
    ],
)
def test_a_wrong_key_is_refused_at_the_field(acme, body, pointer):
    answer = acme.post("/api/keys", body)
    assert answer.status == 400 and answer.pointers == [pointer]


def test_a_body_that_is_no_json_or_no_object_is_refused(acme):
    assert acme.call("POST", "/api/keys", b"{").status == 400
    assert acme.call("POST", "/api/keys", b"[]").status == 400
    assert acme.call("PATCH", "/api/keys/cast", b"[]").status == 400
    assert acme.call("POST", "/api/keys", b'"' + b"x" * (2**21) + b'"').status == 413
    assert acme.call("POST", "/api/keys", b'"' + b"x" * (2**23) + b'"').status == 413
    assert acme.call("POST", "/api/keys", b"[" * 9999).status == 400
    for text in (b'{"slug":"k","tags":{"a":"\\ud83d"}}', b'{"slug":"k","tags":{"a":1e999}}'):
        assert acme.call("POST", "/api/keys", text).status == 400
    nul = acme.post("/api/keys", {"slug": "k", "tags": {"a\0": "b"}})
    assert nul.status == 400 and nul.body["type"] == "/errors/validation-error"


# --- Limits and quotas ---


def test_a_limit_on_a_key_is_found_by_slug_changed_and_deleted(cast, acme):
    made = acme.post("/api/limits", {"kind": "requests", "limit": 60, "scope": "key", "scope_id": "cast"})
    assert made.status == 201 and made.body["window_s"] == 60
    key_id = made.body["scope_id"]
    assert key_id.startswith("key_")
    path = f"/api/limits/{made.body['id']}"
    assert acme.patch(path, {"limit": 90}).body["limit"] == 90
    assert acme.patch(path, {"window_s": 1}).pointers == ["/window_s"]
    assert acme.patch(path, {"scope_id": "cast"}).status == 200
    assert [row["limit"] for row in acme.get(f"/api/limits?scope=key&scope_id={key_id}").body["data"]] == [90]
    assert acme.delete(path).status == 204 and acme.get(path).status == 404


def test_a_limit_of_models_has_its_algorithm_and_options(acme):
    body = {"kind": "requests", "limit": 60, "scope": "model", "scope_id": "gpt-*"}
    made = acme.post("/api/limits", body | {"algorithm": "token_bucket", "options": {"burst": 9}})
    assert made.status == 201 and made.body["scope_id"] == "gpt-*"
    path = f"/api/limits/{made.body['id']}"
    assert acme.patch(path, {"options": {"burst": 12, "on_outage": "closed"}}).body["options"] == {
        "burst": 12,
        "on_outage": "closed",
    }
    assert acme.patch(path, {"algorithm": "sliding_window"}).pointers == ["/options"]
    assert acme.delete(path).status == 204


def test_the_same_limit_twice_is_a_conflict(acme):
    assert acme.post("/api/limits", {"kind": "concurrency", "limit": 3, "window_s": 5}).body["window_s"] == 60
    again = acme.post("/api/limits", {"kind": "concurrency", "limit": 4})
    assert again.status == 409 and "PATCH" in again.body["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "speed", "limit": 1}, "/kind"),
        ({"kind": "requests", "limit": -1}, "/limit"),
        ({"kind": "requests", "limit": 2**63}, "/limit"),
        ({"kind": "requests", "limit": 1, "window_s": 0}, "/window_s"),
        ({"kind": "requests", "limit": 1, "scope": "key"}, "/scope_id"),
        ({"kind": "requests", "limit": 1, "scope": "channel", "scope_id": "none"}, "/scope_id"),
        ({"kind": "requests", "limit": 1, "scope_id": "cast"}, "/scope_id"),
        ({"kind": "requests", "limit": 1, "scope": "model"}, "/scope_id"),
        ({"kind": "requests", "limit": 1, "algorithm": "magic"}, "/options"),
        ({"kind": "requests", "limit": 1, "options": {"burst": 3}}, "/options"),
        ({"kind": "requests", "limit": 1, "algorithm": "token_bucket", "options": {"burst": 0}}, "/options"),
        ({"kind": "requests", "limit": 1, "options": [1]}, "/options"),
    ],
)
def test_a_wrong_limit_is_refused_at_the_field(acme, body, pointer):
    answer = acme.post("/api/limits", body)
    assert answer.status == 400 and answer.pointers == [pointer]


def test_money_goes_in_and_out_as_text_and_lies_there_as_nano_usd(cast, acme):
    made = acme.post("/api/quotas", {"usd": "50.000000001", "window": "month"})
    assert made.body["amount"] == "50.000000001" and made.body["kind"] == "usd"
    with tenant_scope(cast.acme.id):
        assert Quota.objects.get().amount == 50_000_000_001
    path = f"/api/quotas/{made.body['id']}"
    assert acme.patch(path, {"amount": "0.1"}).body["amount"] == "0.10"
    assert acme.patch(path, {"amount": 7}).body["amount"] == "7.00"
    assert acme.post("/api/quotas", {"kind": "tokens", "amount": 5, "window": "day"}).body["amount"] == 5
    assert acme.delete(path).status == 204


def test_a_quota_tells_what_is_used_and_left_of_its_window(cast, acme):
    made = acme.post("/api/quotas", {"usd": "5", "window": "day", "scope": "tag", "scope_id": "team = core"})
    assert made.status == 201 and made.body["scope_id"] == "team=core"
    start = dt.datetime.fromisoformat(made.body["resets_at"]) - dt.timedelta(days=1)
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("SET ROLE routex_writer")
        row = (made.body["id"], start, cast.acme.id)
        connection.execute(
            "INSERT INTO quota_lease (id, process, quota_id, window_start, tenant_id, expires_at, amount, settled, "
            "used) VALUES ('lea_x', 'prc_x', %s, %s, %s, now(), 3000000000, 1000000000, 1500000000)",
            row,
        )
    (told,) = [each for each in acme.get("/api/quotas").body["data"] if each["id"] == made.body["id"]]
    assert (told["amount"], told["used"], told["left"]) == ("5.00", "1.50", "3.50")
    # What is used is no change of the quota: who read it before may still change it.
    etag = made.headers["ETag"]
    assert acme.patch(f"/api/quotas/{made.body['id']}", {"amount": "6"}, **{"If-Match": etag}).body["left"] == "4.50"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("SET ROLE routex_writer")
        connection.execute("DELETE FROM quota_lease WHERE id = 'lea_x'")


@pytest.mark.parametrize("tag", ["team", "=core", ""])
def test_a_quota_for_no_tag_is_refused_at_the_field(acme, tag):
    answer = acme.post("/api/quotas", {"requests": 5, "scope": "tag", "scope_id": tag})
    assert answer.status == 400 and answer.pointers == ["/scope_id"]


@pytest.mark.parametrize("amount", [50.5, "1e99", "-1", "NaN", "0.0000000001", "ten", None, True])
def test_an_amount_that_is_no_exact_money_is_refused(acme, amount):
    answer = acme.post("/api/quotas", {"kind": "usd", "amount": amount})
    assert answer.status == 400 and answer.pointers == ["/amount"]


def test_limits_and_quotas_raise_the_configuration_version(cast, acme):
    def version():
        with tenant_scope(cast.acme.id):
            return ConfigState.objects.get(pk=cast.acme.id).version

    start = version()
    limit = acme.post("/api/limits", {"kind": "tokens", "limit": 9}).body["id"]
    quota = acme.post("/api/quotas", {"requests": 9}).body["id"]
    acme.patch(f"/api/limits/{limit}", {"limit": 9})
    assert version() == start + 2, "a change that changes nothing is none"
    acme.delete(f"/api/limits/{limit}")
    acme.delete(f"/api/quotas/{quota}")
    assert version() == start + 4


# --- Tenants ---


def test_a_tenant_sees_and_changes_only_itself_and_only_what_is_its_own(cast, acme):
    assert [tenant["id"] for tenant in acme.get("/api/tenants").body["data"]] == [cast.acme.id]
    assert acme.get("/api/tenants/rival").status == 404
    assert acme.patch("/api/tenants/acme", {"timezone": "Europe/Berlin"}).body["timezone"] == "Europe/Berlin"
    assert acme.patch("/api/tenants/acme", {"timezone": "Middle-earth"}).pointers == ["/timezone"]
    for change in ({"state": "suspended"}, {"private_upstreams": ["10.0.0.0/8"]}, {"slug": "other"}):
        refused = acme.patch("/api/tenants/acme", change)
        assert refused.status == 403 and next(iter(change)) in refused.body["detail"]
    assert acme.post("/api/tenants", {"slug": "new-one", "name": "N"}).status == 403


def test_the_platform_makes_and_changes_tenants(platform):
    made = platform.post("/api/tenants", {"slug": "made", "name": "Made"})
    assert made.status == 201 and Tenant.objects.get(slug="made").id == made.body["id"]
    changed = platform.patch("/api/tenants/made", {"private_upstreams": ["10.1.2.3/8"], "state": "suspended"})
    assert changed.body["private_upstreams"] == ["10.0.0.0/8"] and changed.body["state"] == "suspended"
    assert platform.patch("/api/tenants/made", {"private_upstreams": ["intranet"]}).pointers == ["/private_upstreams"]
    assert platform.post("/api/tenants", {"slug": "made", "name": "Again"}).status == 409
    assert platform.post("/api/tenants", {"slug": "api", "name": "No"}).status == 400


def test_a_tenant_that_the_platform_made_works_at_once(platform):
    platform.post("/api/tenants", {"slug": "made", "name": "Made"})
    inside = {"X_Routex_Tenant": "made"}
    assert platform.post("/api/channels", {"slug": "c", "provider": "echo", "models": ["e"]}, **inside).status == 201
    assert len(platform.get("/api/channels", **inside).body["data"]) == 1
