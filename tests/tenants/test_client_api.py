"""The client API: what a key is told about itself, and what it is told when it is no good."""

import datetime as dt

import pytest
from django.utils import timezone

from channels_app.services import channel_create
from routing.models import ModelAlias
from routing.selectors import models_for
from tenants.context import platform_scope, tenant_scope
from tenants.engine.principal import Principal
from tenants.models import Tenant
from tenants.services import key_issue, key_update, limit_set, quota_set, tenant_create, tenant_update
from tests.api_calls import Api

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def tenant(cast, django_db_blocker):
    """Return a tenant of this module's own, committed: the API reads in other threads."""
    with django_db_blocker.unblock():
        tenant = tenant_create(slug=f"client-{timezone.now():%H%M%S%f}", name="Client")
        with tenant_scope(tenant.id):
            for slug, models, extra in (
                ("one", ["gpt", {"name": "fast", "upstream": "gpt-mini"}], {}),
                ("two", ["gpt", "claude", "any-*"], {"priority": 5}),
                ("off", ["hidden"], {"is_enabled": False}),
            ):
                channel_create(tenant_id=tenant.id, slug=slug, provider="echo", served_models=models, **extra)
            for name, target in (("smart", "two/gpt"), ("quick", "fast"), ("lost", "nothing"), ("claude", "gpt")):
                ModelAlias.objects.create(name=name, target=target)
        yield tenant


def issue(tenant, slug, **fields):
    with tenant_scope(tenant.id):
        return key_issue(tenant_id=tenant.id, slug=slug, **fields)


def test_a_key_is_told_what_it_is_and_what_counts_for_it(tenant):
    key, secret = issue(tenant, "self", allowed_models=["gpt", "fast"], tags={"team": "core"})
    with tenant_scope(tenant.id):
        limit_set(tenant_id=tenant.id, kind="concurrency", limit=3, scope="key", scope_id=key.id)
        limit_set(tenant_id=tenant.id, kind="requests", limit=9, scope="key", scope_id="key_of_somebody_else")
        quota_set(tenant_id=tenant.id, kind="usd", amount=12_500_000_000, window="ever")
        quota_set(tenant_id=tenant.id, kind="tokens", amount=9, window="ever", scope="tag", scope_id="team=core")
        quota_set(tenant_id=tenant.id, kind="tokens", amount=9, window="ever", scope="tag", scope_id="team=rim")
    told = Api(token=secret).get("/client/key")
    untouched = {"window": "ever", "used": "0.00", "left": "12.50", "resets_at": None}
    assert told.status == 200 and secret not in told.text
    assert told.headers["X-Request-Id"].startswith("req_") and told.headers["Cache-Control"] == "no-store"
    assert told.body == {
        "slug": "self",
        "prefix": secret[:8],
        "tenant": tenant.slug,
        "state": "active",
        "expires_at": None,
        "models": ["gpt", "fast"],
        "channels": ["*"],
        "allowed_ips": [],
        "tags": {"team": "core"},
        "limits": [
            {
                "scope": "key",
                "kind": "concurrency",
                "model": None,
                "limit": 3,
                "window_s": None,
                "algorithm": "concurrency",
            }
        ],
        "quotas": [
            {"scope": "tag", "tag": "team=core", "kind": "tokens", "amount": 9} | untouched | {"left": 9, "used": 0},
            {"scope": "tenant", "tag": None, "kind": "usd", "amount": "12.50"} | untouched,
        ],
    }


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-goog-api-key"])
def test_a_key_is_taken_from_every_header_that_sdks_use(cast, header):
    value = f"Bearer {cast.acme_key}" if header == "Authorization" else cast.acme_key
    assert Api().get("/client/key", **{header: value}).body["tenant"] == "acme"


def principal(tenant, **fields):
    return Principal(tenant_id=tenant.id, key_id="key_x", key_slug="x", **fields)


def names(tenant, **fields):
    with tenant_scope(tenant.id):
        return {one.name: one.channels for one in models_for(principal=principal(tenant, **fields))}


def test_models_and_aliases_are_listed_with_who_serves_them(tenant):
    assert names(tenant) == {
        "claude": ("two",),  # the model, not the alias of the same name
        "fast": ("one",),
        "gpt": ("two", "one"),
        "quick": ("one",),
        "smart": ("two",),
    }


def test_the_allow_lists_hold_for_the_name_and_for_what_it_leads_to(tenant):
    assert names(tenant, models=("gpt",)) == {"gpt": ("two", "one")}
    assert names(tenant, models=("smart",)) == {}, "the alias leads to a model that is not allowed"
    assert names(tenant, models=("smart", "gpt")) == {"gpt": ("two", "one"), "smart": ("two",)}
    assert names(tenant, channels=("one",)) == {"fast": ("one",), "gpt": ("one",), "quick": ("one",)}


def test_the_model_list_is_what_the_key_may_use(tenant):
    _, secret = issue(tenant, "narrow", allowed_models=["smart", "gpt"], allowed_channels=["two"])
    told = Api(token=secret).get("/client/models").body["data"]
    assert told == [
        {"name": "gpt", "target": "", "channels": ["two"]},
        {"name": "smart", "target": "two/gpt", "channels": ["two"]},
    ]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("", "missing_api_key"),
        ("sk-ant-x", "foreign_api_key"),
        ("rtx_cut", "malformed_api_key"),
        ("rtx_" + "0" * 32 + "3pyJmY", "malformed_api_key"),
        ("\xff\xfe", "malformed_api_key"),
    ],
)
def test_a_bad_key_is_told_what_is_wrong_with_it(given, code):
    answer = Api().get("/client/key", **({"x-api-key": given} if given else {}))
    assert answer.status == 401 and answer.body["error"]["code"] == code
    assert answer.headers["WWW-Authenticate"].startswith("Bearer") and answer.headers["X-Request-Id"]


def test_a_management_token_is_sent_to_where_it_belongs(cast):
    answer = Api(token=cast.acme_token).get("/client/key")
    assert answer.status == 401 and "management token" in answer.body["error"]["message"]


def test_a_key_that_is_no_longer_good_is_told_why(tenant):
    for slug, change, code in (
        ("late", {"expires_at": timezone.now() - dt.timedelta(minutes=1)}, "api_key_expired"),
        ("off", {"state": "disabled"}, "api_key_disabled"),
        ("gone", {"state": "revoked"}, "api_key_revoked"),
    ):
        key, secret = issue(tenant, slug)
        with tenant_scope(tenant.id):
            key_update(key=key, **change)
        answer = Api(token=secret).get("/client/models")
        assert answer.status == 401 and answer.body["error"]["code"] == code
        assert f"`{slug}`" in answer.body["error"]["message"]


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::1", "", "unix:"])
@pytest.mark.parametrize("path", ["key", "models"])
def test_a_key_of_one_network_is_refused_elsewhere_whatever_headers_say(tenant, path, address):
    key, secret = issue(tenant, f"home-{path}-{address.replace(':', '')}x", allowed_ips=["10.0.0.0/8"])
    api = Api(token=secret)
    api.client.defaults["REMOTE_ADDR"] = address
    refused = api.get(f"/client/{path}", **{"X-Forwarded-For": "10.0.0.1", "X-Real-Ip": "10.0.0.1"})
    assert refused.status == 403 and refused.body["error"]["code"] == "ip_not_allowed"
    shown = address if "." in address or "::" in address else "an unknown address"
    assert f"Key `{key.slug}` is limited to 10.0.0.0/8; request came from {shown}." in refused.text
    api.client.defaults["REMOTE_ADDR"] = "::ffff:10.0.0.1"
    assert api.get(f"/client/{path}").status == 200


def test_a_suspended_tenants_key_is_told_why(tenant):
    _, secret = issue(tenant, "waiting")
    with platform_scope():
        row = Tenant.objects.get(pk=tenant.id)
        tenant_update(tenant=row, state="suspended", suspended_reason="unpaid")
    try:
        answer = Api(token=secret).get("/client/key")
        assert answer.status == 403 and answer.body["error"]["code"] == "tenant_suspended"
        assert "unpaid" in answer.body["error"]["message"]
    finally:
        with platform_scope():
            tenant_update(tenant=row, state="active", suspended_reason="")


def test_unknown_paths_and_methods_have_the_same_form(cast):
    api = Api(token=cast.acme_key)
    assert api.get("/client/nothing").body["error"]["code"] == "not_found"
    refused = api.post("/client/key")
    assert refused.status == 405 and refused.body["error"]["code"] == "method_not_allowed"
    assert refused.headers["Allow"] == "GET"


def test_the_document_is_openapi_and_names_the_key_as_bearer():
    document = Api().get("/client/openapi.json").body
    assert document["openapi"].startswith("3.1")
    assert {scheme["scheme"] for scheme in document["components"]["securitySchemes"].values()} == {"bearer"}
