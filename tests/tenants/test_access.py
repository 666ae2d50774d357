"""Who gets into the management API: tokens, sessions, roles, CSRF, and what is said to those who do not."""

import datetime as dt

import pytest
from django.test import Client
from django.utils import timezone

from tenants.context import platform_scope, tenant_scope
from tenants.models import AuditEvent, KeyState, ManagementToken, Tenant
from tenants.services import key_issue, membership_set, token_issue, user_create
from tests.api_calls import LOGIN_BACKEND, Api

pytestmark = pytest.mark.django_db

CHANNEL = {"slug": "c", "provider": "echo", "models": ["echo"]}


@pytest.fixture
def platform(cast):
    with platform_scope():
        return token_issue(tenant_id=None, slug="ops")[1]


def token_of(cast, **fields):
    with tenant_scope(cast.acme.id):
        row, secret = token_issue(tenant_id=cast.acme.id, slug="extra", role=fields.pop("role", "admin"))
        ManagementToken.objects.filter(pk=row.pk).update(**fields) if fields else None
    return secret


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ("", "No credentials"),
        ("Basic dXNlcjpwYXNz", "holds no bearer token"),
        ("Bearer", "holds no bearer token"),
        ("Bearer sk-ant-abc", "looks like an Anthropic key"),
        ("Bearer rtxm_short", "not a complete management token"),
        ("Bearer rtxm_" + "0" * 38, "not a complete management token"),
    ],
)
def test_a_bad_credential_is_told_what_is_wrong_with_it(authorization, said):
    headers = {"Authorization": authorization} if authorization else {}
    answer = Api().get("/api/channels", **headers)
    assert answer.status == 401 and said in answer.body["detail"]
    assert answer.body["type"] == "/errors/unauthenticated"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["X-Request-Id"].startswith("req_")


def test_a_gateway_key_is_sent_to_where_it_belongs(cast):
    answer = Api(token=cast.acme_key).get("/api/channels")
    assert answer.status == 401 and "gateway key" in answer.body["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": KeyState.REVOKED},
        {"state": KeyState.DISABLED},
        {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
    ],
)
def test_a_token_that_is_no_longer_good_is_nobody(cast, fields):
    assert Api(token=token_of(cast, **fields)).get("/api/channels").status == 401


def test_a_bad_token_is_not_made_good_by_a_session(cast):
    assert Api(user=cast.alice, tenant="acme", token="rtxm_x").get("/api/channels").status == 401


def test_a_token_is_for_its_own_tenant_named_or_not(cast):
    assert Api(token=cast.acme_token).get("/api/tenants").body["data"][0]["slug"] == "acme"
    assert Api(token=cast.acme_token, tenant="acme").get("/api/channels").status == 200
    assert Api(token=cast.acme_token, tenant="rival").get("/api/channels").status == 404


def test_a_session_names_a_tenant_of_its_person(cast):
    assert Api(user=cast.alice, tenant="acme").get("/api/channels").status == 200
    assert Api(user=cast.alice, tenant="rival").get("/api/channels").status == 404
    unnamed = Api(user=cast.alice).get("/api/channels")
    assert unnamed.status == 400 and unnamed.pointers == ["X-Routex-Tenant"]


def test_a_person_who_was_switched_off_is_nobody(cast):
    user = user_create(email="gone@example.com")
    with tenant_scope(cast.acme.id):
        membership_set(tenant_id=cast.acme.id, user=user, role="admin")
    caller = Api(user=user, tenant="acme")
    assert caller.get("/api/channels").status == 200
    user.is_active = False
    user.save()
    assert caller.get("/api/channels").status == 401


def test_a_sessions_write_needs_its_csrf_token(cast):
    caller = Api(user=cast.alice, tenant="acme", checks_csrf=True)
    assert caller.get("/api/channels").status == 200
    for method in ("POST", "PATCH", "DELETE"):
        refused = caller.call(method, "/api/channels", CHANNEL)
        assert refused.status == 403 and "CSRF" in refused.body["detail"]
    secret = "a" * 32
    caller.client.cookies["routex_csrf"] = secret
    assert caller.post("/api/channels", CHANNEL, X_CSRFToken=secret).status == 201


def test_a_token_needs_no_csrf_token(cast):
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {cast.acme_token}"})
    assert client.post("/api/channels", CHANNEL, content_type="application/json").status_code == 201


@pytest.mark.parametrize(
    ("role", "channels", "keys"), [("admin", 201, 201), ("operator", 201, 403), ("viewer", 403, 403)]
)
def test_the_role_of_a_token_decides_what_it_may_write(cast, role, channels, keys):
    caller = Api(token=token_of(cast, role=role))
    assert caller.get("/api/channels").status == caller.get("/api/keys").status == 200
    assert caller.post("/api/channels", CHANNEL).status == channels
    assert caller.post("/api/keys", {"slug": "k"}).status == keys


def test_a_viewers_session_reads_and_is_told_why_it_may_not_write(cast):
    bob = Api(user=cast.bob, tenant="acme")
    assert bob.get("/api/channels").status == 200
    refused = bob.post("/api/channels", CHANNEL)
    assert refused.status == 403 and "viewer" in refused.body["detail"]
    assert bob.post("/api/channels/test-all").status == 403


def test_the_audit_trail_names_the_person_or_the_token(cast, platform):
    Api(user=cast.alice, tenant="acme").post("/api/channels", CHANNEL)
    Api(token=cast.acme_token).patch("/api/channels/c", {"weight": 2})
    Api(token=platform, tenant="acme").patch("/api/channels/c", {"weight": 3})
    with tenant_scope(cast.acme.id):
        actors = AuditEvent.objects.filter(action__startswith="channel.").order_by("at", "pk")
        assert list(actors.values_list("actor", flat=True)) == ["alice@example.com", "cast", "platform/ops"]


def test_a_platform_token_reaches_platform_resources_and_each_tenant_by_name(cast, platform):
    alone = Api(token=platform)
    assert {"acme", "rival"} <= {tenant["slug"] for tenant in alone.get("/api/tenants").body["data"]}
    assert alone.get("/api/providers").status == 200
    for path in ("/api/channels", "/api/keys", "/api/limits", "/api/quotas"):
        assert alone.get(path).status == 400
    named = Api(token=platform, tenant="acme")
    assert named.post("/api/channels", CHANNEL).status == 201
    assert [tenant["slug"] for tenant in named.get("/api/tenants").body["data"]] == ["acme"]
    assert Api(token=platform, tenant="nowhere").get("/api/channels").status == 404


def test_a_platform_viewer_changes_nothing(cast):
    with platform_scope():
        token = token_issue(tenant_id=None, slug="eyes", role="viewer")[1]
    assert Api(token=token, tenant="acme").post("/api/channels", CHANNEL).status == 403
    assert Api(token=token).patch("/api/tenants/acme", {"name": "x"}).status == 403


def test_a_platform_administrators_session_sees_tenants_but_is_no_member(cast):
    admin = user_create(email="root@example.com", is_platform_admin=True)
    assert Api(user=admin).get("/api/tenants").status == 200
    assert Api(user=admin).get("/api/channels").status == 400
    assert Api(user=admin, tenant="acme").get("/api/channels").status == 404


def test_a_session_of_a_normal_person_never_acts_for_the_platform(cast):
    assert Api(user=cast.alice).get("/api/tenants").status == 400


def test_unknown_paths_and_methods_are_problem_documents_too(cast):
    caller = Api(token=cast.acme_token)
    unknown = caller.get("/api/channel")
    assert unknown.status == 404 and unknown.headers["Content-Type"] == "application/problem+json"
    assert unknown.body["type"] == "/errors/not-found"
    put = caller.call("PUT", "/api/channels", {})
    assert put.status == 405 and "POST" in put.headers["Allow"]
    assert put.headers["Content-Type"] == "application/problem+json"
    assert caller.get("/api/keys/%00").status == 404


def test_a_bug_answers_a_problem_and_leaves_no_half_done_write(cast, monkeypatch):
    def broken(**fields):
        Tenant.objects.filter(pk=cast.acme.id).update(name="half done")
        raise ZeroDivisionError

    monkeypatch.setattr("channels_app.services.channel_create", broken)
    answer = Api(token=cast.acme_token).post("/api/channels", CHANNEL)
    assert answer.status == 500 and answer.body["type"] == "/errors/internal-error"
    assert "ZeroDivision" not in answer.text and answer.headers["X-Request-Id"] in answer.body["detail"]
    assert Tenant.objects.get(pk=cast.acme.id).name == "Acme"


def test_a_refusal_leaves_no_half_done_write(cast, monkeypatch):
    def refused(**fields):
        key_issue(tenant_id=cast.acme.id, slug="half-done")
        raise ValueError("no")

    monkeypatch.setattr("tenants.services.key_issue", refused)
    caller = Api(token=cast.acme_token)
    assert caller.post("/api/keys", {"slug": "x"}).status == 400
    assert caller.get("/api/keys/half-done").status == 404


def test_sessions_of_the_console_are_signed_in_by_the_same_backend():
    from django.conf import settings

    assert LOGIN_BACKEND in settings.AUTHENTICATION_BACKENDS
