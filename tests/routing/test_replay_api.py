"""POST /api/routing/replay: draft rules over what was recorded, and what it would have cost."""

import pytest

from channels_app.services import channel_create
from routing.services import rule_create
from tenants.context import tenant_scope
from tests.analytics.rows import request_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

PATH = "/api/routing/replay"
SINCE = "2020-01-01T00:00:00Z"
FACTS = {"has_tools": True, "words": 3, "tokens": {"heuristic": 90_000}, "input_tokens": 90_000}
TOOLS = {"slug": "tools", "condition": {"hasTools": True}, "targets": [{"channel": "cheap"}]}


@pytest.fixture
def acme(cast):
    with tenant_scope(cast.acme.id):
        made = {}
        for slug, price in (("dear", "10"), ("cheap", "1")):
            made[slug] = channel_create(
                tenant_id=cast.acme.id, slug=slug, provider="echo", served_models=["m"],
                prices={"m": {"input_usd_per_mtok": price, "output_usd_per_mtok": price}},
            )  # fmt: skip
        common = {
            "tenant_id": cast.acme.id, "asked_model": "m", "public_model": "m", "upstream_model": "m",
            "operation": "openai-chat", "channel_id": made["dear"].id, "channel_slug": "dear",
            "input_tokens": 600_000, "output_tokens": 400_000, "cost_nano_usd": 10_000_000_000,
            "usage_details": "{}",
        }  # fmt: skip
        for facts in (FACTS, FACTS | {"has_tools": False}, {}):
            request_write(**common, decision={"asked_model": "m", "by": "name", "facts": facts} if facts else {})
    return Api(token=cast.acme_token)


def replayed(api, **body):
    answer = api.post(PATH, {"since": SINCE} | body)
    assert answer.status == 200, answer.text
    return answer.body


def test_a_draft_tells_what_would_move_and_what_it_would_have_cost(acme):
    told = replayed(acme, rules=[TOOLS])
    assert (told["looked_at"], told["moved"], told["stayed"]) == (3, 1, 1)
    assert told["unknown"] == {"was not read": 1}
    assert told["by_rule"] == {"tools": 1}
    assert (told["before_usd"], told["after_usd"]) == ("20.00", "11.00")
    [moved] = told["requests"]
    assert (moved["from_channel"], moved["to_channel"], moved["rule"]) == ("dear", "cheap", "tools")
    assert (moved["cost_before"], moved["cost_after"]) == ("10.00", "1.00")


def test_seed_spelling_and_priorities_count_in_drafts_too(acme):
    seed = {"name": "Long", "type": "longContext", "tokenThreshold": 60000, "targetChannel": "dear", "priority": 9}
    told = replayed(acme, rules=[TOOLS, seed])
    assert told["by_rule"] == {"long": 2}
    assert told["moved"] == 0


def test_without_drafts_the_rules_of_now_are_replayed(acme, cast):
    assert replayed(acme)["moved"] == 0
    with tenant_scope(cast.acme.id):
        rule_create(tenant_id=cast.acme.id, **TOOLS)
    assert replayed(acme)["moved"] == 1


def test_what_asks_for_the_text_is_unknown_and_not_guessed(acme):
    told = replayed(acme, rules=[TOOLS | {"condition": {"keywords": ["plan"]}}])
    assert told["unknown"] == {"text": 2, "was not read": 1}
    assert told["moved"] == 0


def test_steps_follow_one_another(acme):
    first = replayed(acme, rules=[TOOLS], limit=2)
    second = replayed(acme, rules=[TOOLS], limit=2, after=first["next"])
    assert (first["looked_at"], second["looked_at"], second["next"]) == (2, 1, "")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rules": [{"condition": {"nonsense": 1}, "targets": [{"channel": "cheap"}]}]}, "/rules/0"),
        ({"rules": [{"type": "strange"}]}, "/rules/0"),
        ({"after": "nonsense"}, "/after"),
        ({"since": "yesterday"}, "/since"),
        ({"limit": 0}, "/limit"),
    ],
)
def test_what_makes_no_sense_is_named(acme, body, pointer):
    answer = acme.post(PATH, {"since": SINCE} | body)
    assert answer.status == 400, answer.text
    assert answer.pointers == [pointer], answer.text


def test_a_rival_sees_nothing_of_it(acme, cast):
    told = Api(token=cast.rival_token).post(PATH, {"since": SINCE, "rules": []}).body
    assert told["looked_at"] == 0
