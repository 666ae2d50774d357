"""Nothing of Acme is for Charlie: every route of both APIs is found by itself and called in every way he has.

A new route is called without a line here; a new kind of object with an id in its path fails until `acme_objects`
names one of Acme's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from channels_app.services import channel_create, channel_delete, health_record
from tenants.context import tenant_scope
from tenants.models import AuditEvent, GatewayKey, Limit, Quota
from tenants.services import key_issue, limit_set, quota_set
from tests.analytics.rows import request_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

#: Without credentials on purpose: descriptions of the APIs, the same for everyone.
PUBLIC = {"/api/openapi.json", "/api/docs/", "/client/openapi.json"}
#: Routes that are no operation: the root of the client API is a 404.
NOT_DOCUMENTED = {"/client/"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECRET = "sk-acme-0123456789abcdef"


def url_templates(prefix: str) -> set[str]:
    """Return the paths of the URL table under a prefix, with {name} for each parameter."""

    def walk(patterns, before: str) -> Iterator[str]:
        for pattern in patterns:
            path = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)

    return {path for path in walk(get_resolver().url_patterns, "") if path.startswith(prefix)}


def documented(path: str) -> set[str]:
    """Return the paths of an OpenAPI document, as anybody may read it."""
    return set(json.loads(Client().get(path).content)["paths"])


MANAGEMENT = sorted(url_templates("/api/") - PUBLIC)
CLIENT = sorted(url_templates("/client/") - PUBLIC)


def test_every_route_is_in_a_document_so_that_none_is_forgotten(cast):
    assert len(MANAGEMENT) > 10
    assert documented("/api/openapi.json") == set(MANAGEMENT)
    assert documented("/client/openapi.json") == set(CLIENT) - NOT_DOCUMENTED


@pytest.fixture
def acme_objects(cast) -> dict[str, list[str]]:
    """Return ids and slugs of Acme's objects by the name of their resource."""
    tenant_id = cast.acme.id
    with tenant_scope(tenant_id):
        channel = channel_create(
            tenant_id=tenant_id, slug="acme-main", provider="openai-compatible", base_url="http://acme.example/v1",
            served_models=["acme-model"], credentials={"main": SECRET},
        )  # fmt: skip
        health_record(channel_id=channel.id, is_up=True, detail="acme is up")
        key, _ = key_issue(tenant_id=tenant_id, slug="acme-key")
        limit = limit_set(tenant_id=tenant_id, kind="requests", limit=7)
        quota = quota_set(tenant_id=tenant_id, kind="tokens", amount=7)
        request_id = request_write(tenant_id=tenant_id, channel_slug="acme-main", user_agent="acme.example")
    return {
        "channels": [channel.id, channel.slug],
        "keys": [key.id, key.slug],
        "limits": [limit.id],
        "quotas": [quota.id],
        "requests": [request_id],
        "tenants": [tenant_id, "acme"],
    }


def filled(template: str, objects: dict[str, list[str]]) -> list[str]:
    """Return the paths of a template with Acme's objects in the place of parameters."""
    if "{" not in template:
        return [template]
    resource = template.split("/")[2]
    assert resource in objects, f"{template} takes an id: give one of Acme's in `acme_objects`"
    return [re.sub(r"\{\w+\}", reference, template) for reference in objects[resource]]


def assert_tells_nothing(answer, path: str, objects: dict[str, list[str]]) -> None:
    """What was asked may be repeated; anything else of Acme's would be news."""
    told = answer.text
    for asked in filter(None, path.split("/")):
        told = told.replace(asked, "")
    for reference in (reference for references in objects.values() for reference in references):
        assert reference not in told, (path, answer.text)
    assert "acme.example" not in told and SECRET[-8:] not in told


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("credentials", ["session", "token", "token for acme", "session for acme"])
def test_acmes_objects_do_not_exist_for_charlie(cast, acme_objects, credentials, method):
    tenant = "acme" if credentials.endswith("acme") else "rival"
    if credentials.startswith("session"):
        charlie = Api(user=cast.charlie, tenant=tenant)
    else:
        charlie = Api(token=cast.rival_token, tenant=tenant)
    for template in MANAGEMENT:
        for path in filled(template, acme_objects):
            answer = charlie.call(method, path, {} if method in {"POST", "PUT", "PATCH"} else None)
            if tenant == "acme":
                assert answer.status == 404, (method, path, answer.text)
            elif "{" in template:
                assert answer.status in {404, 405}, (method, path, answer.text)
            else:
                assert answer.status in {200, 400, 403, 405}, (method, path, answer.text)
            assert_tells_nothing(answer, path, acme_objects)
    assert_acme_is_whole(cast)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("credentials", ["nothing", "charlies key", "an unknown token", "charlies session alone"])
def test_who_is_nobody_here_reaches_no_route(cast, acme_objects, credentials, method):
    caller = {
        "nothing": Api(tenant="acme"),
        "charlies key": Api(token=cast.rival_key, tenant="acme"),
        "an unknown token": Api(token=cast.rival_token[:-1] + "0", tenant="acme"),
        "charlies session alone": Api(user=cast.charlie),
    }[credentials]
    expected = 400 if credentials == "charlies session alone" else 401
    for template in MANAGEMENT:
        for path in filled(template, acme_objects):
            answer = caller.call(method, path)
            assert answer.status == expected, (method, path, answer.text)
            assert_tells_nothing(answer, path, acme_objects)
    assert_acme_is_whole(cast)


def assert_acme_is_whole(cast) -> None:
    with tenant_scope(cast.acme.id):
        assert GatewayKey.objects.filter(slug="acme-key", state="active").exists()
        assert Limit.objects.get().limit == Quota.objects.get().amount == 7
        assert not AuditEvent.objects.filter(actor__in=["cast", str(cast.charlie)]).exists()


@pytest.mark.parametrize("body", [{"kind": "requests", "limit": 1}, {"tokens": 1}])
@pytest.mark.parametrize("scope", ["key", "channel"])
def test_a_limit_cannot_be_put_on_what_is_acmes(cast, acme_objects, scope, body):
    charlie = Api(token=cast.rival_token)
    path = "/api/quotas" if "tokens" in body else "/api/limits"
    for reference in acme_objects[f"{scope}s"]:
        answer = charlie.post(path, body | {"scope": scope, "scope_id": reference})
        assert answer.status == 400 and answer.pointers == ["/scope_id"], answer.text


def test_a_foreign_tenant_is_refused_exactly_as_one_that_is_not_there(cast):
    for caller in (Api(user=cast.charlie), Api(token=cast.rival_token)):
        foreign = caller.get("/api/channels", X_Routex_Tenant="acme")
        missing = caller.get("/api/channels", X_Routex_Tenant="nowhere")
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body


@pytest.fixture
def committed_channel(cast):
    """Give Acme a channel that worker threads see; removed again, since the cast is shared."""
    with tenant_scope(cast.acme.id):
        fields = {"slug": "acme-main", "provider": "echo", "served_models": ["acme-model"]}
        channel = channel_create(tenant_id=cast.acme.id, **fields)
    yield channel
    with tenant_scope(cast.acme.id):
        channel_delete(tenant_id=cast.acme.id, channel=channel)


def asked_by_key(api, template, path):
    """Call a path of the client API in the way it takes; a body asks for what Acme nearly has."""
    if not template.endswith("/test"):
        return api.get(path)
    return api.post(path, {"request": {"model": "acme-mode", "messages": [{"role": "user", "content": "hi"}]}})


@pytest.mark.django_db(transaction=True)
def test_charlies_key_is_told_of_rival_only(cast, committed_channel):
    objects = {"channels": [committed_channel.id, "acme-main"], "models": ["acme-model"]}
    for template in sorted(set(CLIENT) - NOT_DOCUMENTED):
        for path in filled(template, objects):
            answer = asked_by_key(Api(token=cast.rival_key), template, path)
            assert answer.status == (404 if "{" in template else 200), (path, answer.text)
            assert_tells_nothing(answer, path, objects | {"tenants": [cast.acme.id, '"acme"']})
    assert "acme-model" in Api(token=cast.acme_key).get("/client/models").text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("token", ["", "rival_token", "cut"])
def test_without_a_key_the_client_api_says_401(cast, token):
    given = {"": "", "rival_token": cast.rival_token, "cut": cast.rival_key[:-1]}[token]
    for template in sorted(set(CLIENT) - NOT_DOCUMENTED):
        answer = asked_by_key(Api(token=given), template, re.sub(r"\{\w+\}", "x", template))
        assert answer.status == 401 and answer.body["error"]["code"].endswith("api_key"), answer.text


def test_the_public_documents_hold_nothing_of_a_tenant(cast, acme_objects):
    for path in PUBLIC:
        answer = Api().get(path)
        assert answer.status == 200
        assert_tells_nothing(answer, path, acme_objects)
