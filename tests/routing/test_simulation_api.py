"""POST /api/routing/test: where a request would go and why, under the configuration of now."""

import pytest

from analytics.models import RequestRecord
from channels_app.services import channel_create, channel_delete
from routing.services import alias_set
from tenants.context import platform_scope, tenant_scope
from tenants.models import Tenant
from tenants.services import key_issue, key_revoke, limit_set, quota_set
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

PATH = "/api/routing/test"
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def acme(cast):
    with tenant_scope(cast.acme.id):
        for slug, priority in (("low", 1), ("high", 9)):
            channel_create(
                tenant_id=cast.acme.id,
                slug=slug,
                provider="echo",
                served_models=["m"],
                priority=priority,
                credentials={},
            )
        alias_set(tenant_id=cast.acme.id, name="smart", target="m")
        key_issue(tenant_id=cast.acme.id, slug="narrow", allowed_channels=["low"])
    return Api(token=cast.acme_token)


def told(api, **body):
    answer = api.post(PATH, body)
    assert answer.status == 200, answer.text
    return answer.body


def test_it_tells_the_channel_of_the_first_try_and_the_order_of_all(acme):
    body = told(acme, request=HI)
    assert (body["channel"], body["model"]) == ("high", "m")
    assert [each["channel"] for each in body["decision"]["candidates"]] == ["high", "low"]


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (HI, "/v1/chat/completions"),
        ({"model": "m", "input": "x"}, ""),
        (HI | {"system": "s", "max_tokens": 9}, ""),
        ({"model": "m", "contents": [{"parts": [{"text": "x"}]}]}, ""),
        (HI | {"max_tokens": 9}, "/v1/messages/count_tokens"),
    ],
)
def test_a_request_of_any_format_can_be_tried(acme, request_, path):
    assert told(acme, request=request_, **({"path": path} if path else {}))["channel"] == "high"


def test_a_keys_allow_lists_count_when_it_is_named(acme):
    assert told(acme, request=HI, key="narrow")["channel"] == "low"
    assert acme.post(PATH, {"request": HI, "key": "gone"}).body["errors"][0]["pointer"] == "/key"


def test_a_keys_networks_count_when_an_address_is_given_and_are_open_when_none_is(acme, cast):
    with tenant_scope(cast.acme.id):
        key_issue(tenant_id=cast.acme.id, slug="at-home", allowed_ips=["10.0.0.0/8"])
    assert told(acme, request=HI, key="at-home", client_address="10.0.0.1")["channel"] == "high"
    error = told(acme, request=HI, key="at-home", client_address="203.0.113.9")["error"]
    assert (error["status"], error["code"]) == (403, "ip_not_allowed")
    assert error["message"].startswith("Key `at-home` is limited to 10.0.0.0/8; request came from 203.0.113.9.")
    body = told(acme, request=HI, key="at-home")
    assert body["channel"] == "high" and any("client_address" in text for text in body["unsure"])


def test_an_alias_is_followed(acme):
    assert told(acme, request=HI | {"model": "smart"})["model"] == "m"


def test_what_would_be_refused_is_told_with_its_code(acme):
    body = told(acme, request=HI | {"model": "n"})
    assert (body["channel"], body["error"]["status"], body["error"]["code"]) == ("", 404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/request"),
        ({"request": HI, "path": "/v1/nothing"}, "/path"),
        ({"request": HI, "path": "/v1/audio/transcriptions"}, "/path"),
        ({"request": {"messages": []}}, "/request/model"),
        ({"request": 5}, "/request"),
        ({"request": HI, "headers": {"a": 5, "b": {}}}, "/headers"),
    ],
)
def test_what_cannot_be_tried_is_named(acme, body, pointer):
    answer = acme.post(PATH, body)
    assert answer.status == 400, answer.text
    assert any(error["pointer"].startswith(pointer) for error in answer.body["errors"]), answer.text


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"x-routex-timeout-ms": "abc"}, "invalid_value"), ({"x-routex-channel": "x"}, "model_not_found")],
)
def test_headers_are_read_as_the_gateway_reads_them(acme, headers, code):
    body = told(acme, request=HI, headers=headers)
    assert (body["channel"], body["error"]["code"]) == ("", code)


def test_a_used_up_quota_is_told_as_the_gateway_tells_it(acme, cast):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="spent")[0]
        quota_set(tenant_id=cast.acme.id, scope="key", scope_id=key.id, kind="requests", amount=0, window="day")
    error = told(acme, request=HI, key="spent")["error"]
    assert (error["status"], error["code"], error["retry_after_s"]) == (429, "insufficient_quota", None)
    assert error["message"].startswith("Daily quota of 0 requests for key `spent` is used up")
    # Anthropic's clients know this by another status.
    assert told(acme, request=HI | {"max_tokens": 9}, path="/v1/messages", key="spent")["error"]["status"] == 402


def test_a_limit_of_the_key_is_told_as_the_gateway_tells_it(acme, cast):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="slow")[0]
        limit_set(tenant_id=cast.acme.id, scope="key", scope_id=key.id, kind="requests", limit=0)
    error = told(acme, request=HI, key="slow")["error"]
    assert (error["status"], error["code"], error["retry_after_s"]) == (429, "rate_limit_exceeded", None)
    assert told(acme, request=HI)["error"] is None


def test_a_revoked_key_and_a_suspended_tenant_are_refused(acme, cast):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="revoked")[0]
        key_revoke(key=key)
    assert told(acme, request=HI, key="revoked")["error"]["code"] == "api_key_revoked"
    with platform_scope():
        Tenant.objects.filter(pk=cast.acme.id).update(state="suspended", suspended_reason="unpaid")
    body = acme.post(PATH, {"request": HI}).body
    assert body.get("error", body)["code"] == "tenant_suspended"


def test_nothing_is_recorded(acme, cast):
    told(acme, request=HI)
    with tenant_scope(cast.acme.id):
        assert not RequestRecord.objects.exists()


@pytest.fixture
def committed_channel(cast):
    """Give Acme a channel that worker threads see; removed again, since the cast is shared."""
    with tenant_scope(cast.acme.id):
        found = channel_create(tenant_id=cast.acme.id, slug="seen", provider="echo", served_models=["m"])
    yield found
    with tenant_scope(cast.acme.id):
        channel_delete(tenant_id=cast.acme.id, channel=found)


@pytest.mark.django_db(transaction=True)
def test_a_key_holder_may_ask_the_same_for_the_own_key(cast, committed_channel):
    holder = Api(token=cast.acme_key)
    answer = holder.post("/client/routing/test", {"request": HI})
    assert (answer.status, answer.body["channel"]) == (200, "seen")
    refused = Api(token=cast.rival_key).post("/client/routing/test", {"request": HI})
    assert (refused.status, refused.body["error"]["status"]) == (200, 404)
    assert holder.post("/client/routing/test", {"request": {"messages": []}}).body["error"]["code"] == "invalid_value"
    assert holder.post("/client/routing/test", {"request": HI, "path": "/nowhere"}).status == 400


def test_a_platform_caller_names_a_tenant(cast):
    assert Api().post(PATH, {"request": HI}).status == 401
