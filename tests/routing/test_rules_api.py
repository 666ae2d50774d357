"""Rules through the management API: written in any spelling, put in order, and live at once."""

from __future__ import annotations

import pytest

from routing.engine.document import decode_document
from routing.models import RoutingRule
from tenants.context import tenant_scope
from tenants.models import AuditEvent, ConfigState
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

RULES = "/api/routing/rules"
LONG = {"slug": "long", "type": "longContext", "condition": {"tokenThreshold": 60_000}, "targets": [{"channel": "big"}]}


@pytest.fixture
def api(cast) -> Api:
    return Api(token=cast.acme_token)


def made(api: Api, **fields) -> dict:
    answer = api.post(RULES, {"slug": "r", "type": "default", "targets": [{"model": "m"}]} | fields)
    assert answer.status == 201, answer.text
    return answer.body


def test_a_rule_is_made_read_changed_and_deleted(api):
    created = api.post(RULES, LONG | {"priority": 100})
    assert created.status == 201
    assert created.body["id"].startswith("rul_")
    expected = {"slug": "long", "type": "longContext", "condition": {"tokenThreshold": 60_000}, "priority": 100}
    assert created.body | expected | {"targets": [{"channel": "big"}], "enabled": True} == created.body
    assert api.get(f"{RULES}/{created.body['id']}").body == api.get(f"{RULES}/long").body == created.body
    changed = api.patch(f"{RULES}/long", {"priority": 5, "condition": {"tokenThreshold": 70_000, "hasTools": True}})
    assert changed.status == 200
    assert changed.body["condition"] == {"tokenThreshold": 70_000, "hasTools": True}
    assert api.delete(f"{RULES}/long").status == 204
    assert api.get(f"{RULES}/long").status == 404


def test_the_bodies_of_the_first_versions_work(api):
    answer = api.post(
        RULES,
        {
            "name": "Long Context to Gemini", "type": "longContext", "condition": {"tokenThreshold": 60_000},
            "targetChannel": "Gemini Channel", "targetModel": "gemini-2.5-pro", "priority": 100, "enabled": False,
        },
    )  # fmt: skip
    assert answer.status == 201, answer.text
    assert answer.body["slug"] == "long-context-to-gemini"
    assert answer.body["targets"] == [{"channel": "gemini-channel", "model": "gemini-2.5-pro"}]
    assert answer.body["enabled"] is False


@pytest.mark.parametrize(
    ("body", "condition", "targets"),
    [
        ({"tokenThreshold": 9, "target": {"tag": "prod"}}, {"tokenThreshold": 9}, [{"tag": "prod"}]),
        ({"condition": {"token_threshold": 9}, "target": [{"model": "a"}, {"model": "b"}]}, {"tokenThreshold": 9},
         [{"model": "a"}, {"model": "b"}]),
        ({"condition": {"region": "eu"}}, {"region": "eu"}, []),
        ({"type": "subagent"}, {}, []),
    ],
)  # fmt: skip
def test_other_spellings_are_normalised(api, body, condition, targets):
    created = api.post(RULES, {"slug": "r"} | body)
    assert created.status == 201, created.text
    assert (created.body["condition"], created.body["targets"]) == (condition, targets)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "thinking"}, "/type"),
        ({"condition": {"userPattern": "("}}, "/condition"),
        ({"condition": {"userPattern": r"(a+)+\1"}}, "/condition"),
        ({"condition": {"expression": "__import__('os')"}}, "/condition"),
        ({"condition": {"expression": 'tokens > "5"'}}, "/condition"),
        ({"condition": {"keyword": ["x"]}}, "/condition"),
        ({"condition": []}, "/condition"),
        ({"type": "custom", "condition": {}}, "/condition"),
        ({"condition": {"header": {"Authorization": "Bearer x"}}}, "/condition"),
        ({"targets": []}, "/targets"),
        ({"targets": [{}]}, "/targets"),
        ({"targets": [{"chanel": "x"}]}, "/targets"),
        ({"targets": [{"channel": 7}]}, "/targets"),
        ({"targets": [{"model": "m"}] * 99}, "/targets"),
        ({"slug": "order"}, "/slug"),
        ({"slug": "Bad Slug"}, "/slug"),
        ({"priority": "high"}, "/priority"),
        ({"prio": 1}, "/prio"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(api, body, pointer):
    answer = api.post(RULES, {"slug": "r", "type": "default", "targets": [{"model": "m"}]} | body)
    assert answer.status == 400, answer.text
    assert pointer in answer.pointers


def test_a_slug_is_taken_once(api):
    made(api)
    assert api.post(RULES, LONG | {"slug": "r"}).status in {400, 409}


def test_rules_are_listed_as_they_are_looked_at_and_filtered(api):
    for slug, priority, enabled in (("low", 1, True), ("off", 5, False), ("high", 9, True)):
        made(api, slug=slug, priority=priority, enabled=enabled)
    assert [rule["slug"] for rule in api.get(RULES).body["data"]] == ["high", "off", "low"]
    assert [rule["slug"] for rule in api.get(f"{RULES}/enabled").body["data"]] == ["high", "low"]
    assert [rule["slug"] for rule in api.get(f"{RULES}?enabled=false").body["data"]] == ["off"]
    assert [rule["slug"] for rule in api.get(f"{RULES}?q=hig").body["data"]] == ["high"]


def test_a_rule_is_switched_off_and_on(api):
    made(api)
    assert api.post(f"{RULES}/r/disable").body["enabled"] is False
    assert api.post(f"{RULES}/r/disable").body["enabled"] is False
    assert api.post(f"{RULES}/r/enable").body["enabled"] is True


def test_rules_are_put_in_order(api):
    first, second, third = (made(api, slug=slug, priority=7) for slug in ("a", "b", "c"))
    answer = api.call("PUT", f"{RULES}/order", {"ids": [third["id"], "a", second["id"]]})
    assert answer.status == 200, answer.text
    assert [(rule["slug"], rule["priority"]) for rule in answer.body["data"]] == [("c", 30), ("a", 20), ("b", 10)]
    assert [rule["slug"] for rule in api.get(RULES).body["data"]] == ["c", "a", "b"]
    assert first["id"] == api.get(f"{RULES}/a").body["id"]


@pytest.mark.parametrize("ids", [["a"], ["a", "b", "a"], ["a", "b", "gone"], "a", None])
def test_an_order_names_every_rule_once(api, ids):
    made(api, slug="a")
    made(api, slug="b")
    answer = api.call("PUT", f"{RULES}/order", {"ids": ids})
    assert answer.status == 400, answer.text


def test_a_viewer_reads_and_does_not_write(cast):
    viewer = Api(user=cast.bob, tenant="acme")
    assert viewer.get(RULES).status == 200
    assert viewer.post(RULES, LONG).status == 403
    assert viewer.call("PUT", f"{RULES}/order", {"ids": []}).status == 403


def test_a_change_is_audited_and_published(api, cast, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        made(api, slug="late", priority=1)
        made(api, slug="first", priority=9, type="think", condition={"keyTag": {"team": "core"}}, enabled=False)
        assert api.patch("/api/tenants/acme", {"tags": {"plan": "gold"}}).status == 200
    with tenant_scope(cast.acme.id):
        document = decode_document(bytes(ConfigState.objects.get(tenant_id=cast.acme.id).snapshot))
        events = AuditEvent.objects.filter(action__startswith="rule.").count()
    assert [rule.slug for rule in document.rules] == ["first", "late"]
    first = document.rules[0]
    assert (first.type, first.condition, first.is_enabled) == ("think", {"keyTag": {"team": "core"}}, False)
    assert first.targets == ({"model": "m"},)
    assert document.tags == {"plan": "gold"}
    assert api.patch(f"{RULES}/late", {"priority": 1}).status == 200
    with tenant_scope(cast.acme.id):
        assert AuditEvent.objects.filter(action__startswith="rule.").count() == events == 2
        assert RoutingRule.objects.count() == 2
