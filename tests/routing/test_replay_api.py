"""POST /api/routing/replay: draft rules over what was recorded, and what it would have cost."""

import pytest

from channels_app.services import channel_create
from routing.services import alias_set, policy_set, rule_create
from tenants.context import tenant_scope
from tests.analytics.rows import request_write
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

PATH = "/api/routing/replay"
SINCE = "2020-01-01T00:00:00Z"
FACTS = {"has_tools": True, "words": 3, "tokens": {"heuristic": 90_000}, "input_tokens": 90_000}
TOOLS = {"slug": "tools", "condition": {"hasTools": True}, "targets": [{"channel": "cheap"}]}


def channel_made(tenant_id, slug, price, **fields):
    return channel_create(
        tenant_id=tenant_id, slug=slug, provider="echo", served_models=["m"],
        prices={"m": {"input_usd_per_mtok": price, "output_usd_per_mtok": price}}, **fields,
    )  # fmt: skip


def common(channel, **fields):
    """Return what a request that a channel answered has in the log."""
    return {
        "tenant_id": fields.pop("tenant_id"), "asked_model": "m", "public_model": "m", "upstream_model": "m",
        "operation": "openai-chat", "channel_id": channel.id, "channel_slug": channel.slug,
        "input_tokens": 600_000, "output_tokens": 400_000, "cost_nano_usd": 10_000_000_000, "usage_details": "{}",
    } | fields  # fmt: skip


@pytest.fixture
def acme(cast):
    with tenant_scope(cast.acme.id):
        dear = channel_made(cast.acme.id, "dear", "10")
        channel_made(cast.acme.id, "cheap", "1")
        for facts in (FACTS, FACTS | {"has_tools": False}, {}):
            decision = {"asked_model": "m", "by": "name", "facts": facts} if facts else {}
            request_write(**common(dear, tenant_id=cast.acme.id), decision=decision)
    return Api(token=cast.acme_token)


@pytest.fixture
def record(cast):
    """Write a request that channel `b` answered; `a` is its like, but for priority and price."""
    with tenant_scope(cast.acme.id):
        channel_made(cast.acme.id, "a", "1", priority=5)
        b = channel_made(cast.acme.id, "b", "10", priority=1)

    def write(fields=(), **decision):
        with tenant_scope(cast.acme.id):
            decision = {"asked_model": "m", "by": "name", "facts": FACTS} | decision
            request_write(**common(b, tenant_id=cast.acme.id) | dict(fields), decision=decision)
        return Api(token=cast.acme_token)

    return write


def strategy(cast, name):
    with tenant_scope(cast.acme.id):
        policy_set(tenant_id=cast.acme.id, strategy=name)


def ranks(*slugs):
    return [{"channel": slug, "model": "m", "rank": rank} for rank, slug in enumerate(slugs, 1)]


BY_A_RULE = {"by": "rule:tools", "rule": "tools", "candidates": ranks("b")}


@pytest.mark.parametrize("name", ["priority", "cost"])
@pytest.mark.parametrize("stickiness", ["new", "kept"])
def test_what_only_a_rule_kept_from_the_strategys_first_moves_there_without_it(record, cast, name, stickiness):
    strategy(cast, name)
    told = replayed(record(**BY_A_RULE, stickiness=stickiness), rules=[])
    assert (told["strategy"], told["moved"], told["stayed"]) == (name, 1, 0)
    assert (told["before_usd"], told["after_usd"]) == ("10.00", "1.00")
    [moved] = told["requests"]
    assert (moved["from_channel"], moved["to_channel"], moved["rule"]) == ("b", "a", "")


def test_a_rule_that_leaves_the_strategy_a_choice_goes_by_the_strategy(record):
    told = replayed(record(**BY_A_RULE), rules=[TOOLS | {"targets": [{"provider": "echo"}]}])
    assert (told["moved"], told["by_rule"], told["requests"][0]["to_channel"]) == (1, {"tools": 1}, "a")


@pytest.mark.parametrize("name", ["round_robin", "weighted", "random", "least_used", "latency", "consistent_hash"])
def test_where_the_strategy_goes_by_what_is_not_recorded_a_request_stays_and_that_is_said(record, cast, name):
    strategy(cast, name)
    told = replayed(record(**BY_A_RULE), rules=[])
    assert (told["moved"], told["stayed"], told["among_equals"]) == (0, 1, 1)


@pytest.mark.parametrize("name", ["round_robin", "priority"])
def test_who_comes_last_whatever_the_turn_is_not_among_the_equals(record, cast, name):
    with tenant_scope(cast.acme.id):
        spare = channel_made(cast.acme.id, "spare", "10", weight=0)
    strategy(cast, name)
    api = record({"channel_id": spare.id, "channel_slug": "spare"}, **BY_A_RULE | {"candidates": ranks("spare")})
    assert replayed(api, rules=[])["moved"] == 1


def test_who_answered_only_because_the_first_had_failed_is_not_moved_by_that(record):
    told = replayed(record(candidates=ranks("a", "b")), rules=[])
    assert (told["moved"], told["stayed"], told["among_equals"]) == (0, 1, 0)


def test_a_session_stays_where_it_was_while_the_rules_leave_it_the_same_channels(record):
    api = record(candidates=ranks("b", "a"), stickiness="kept")
    assert replayed(api, rules=[])["moved"] == 0
    assert replayed(api, rules=[TOOLS | {"targets": [{"channel": "a"}]}])["moved"] == 1


def test_a_client_address_goes_where_its_hash_says(record, cast):
    strategy(cast, "ip_hash")
    for number in range(20):
        api = record({"client_address": f"10.0.0.{number}"}, **BY_A_RULE)
    told = replayed(api, rules=[])
    assert told["among_equals"] == 0
    assert 0 < told["moved"] < 20


def test_what_was_asked_for_outright_stays(record, cast):
    with tenant_scope(cast.acme.id):
        alias_set(tenant_id=cast.acme.id, name="bee", target="b/m")
    record({"asked_model": "b,m"}, by="channel")
    record({"asked_model": "bee"}, by="alias")
    told = replayed(record(by="pinned"), rules=[TOOLS])
    assert (told["moved"], told["stayed"]) == (0, 3)


def test_what_nobody_would_serve_now_is_unknown(record):
    told = replayed(record({"asked_model": "gone"}), rules=[])
    assert told["unknown"] == {"nobody would serve it": 1}


def replayed(api, **body):
    answer = api.post(PATH, {"since": SINCE} | body)
    assert answer.status == 200, answer.text
    return answer.body


def test_a_draft_tells_what_would_move_and_what_it_would_have_cost(acme):
    told = replayed(acme, rules=[TOOLS])
    assert (told["looked_at"], told["moved"], told["stayed"], told["among_equals"]) == (3, 1, 1, 1)
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
