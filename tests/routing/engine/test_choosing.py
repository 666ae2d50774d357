"""Who is chosen: what the name says outright, the first rule that holds and can serve, else the model asked for."""

from __future__ import annotations

import json

import pytest

from routing.engine import asgi
from routing.engine.call import Call
from routing.engine.document import ModelSpec, PolicySpec, RuleSpec
from routing.engine.lastturns import LastTurns
from routing.engine.pipeline import serve
from routing.engine.snapshot import MANY_ANSWERS
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.harness import GOOD_WHOLE, PATHS, Harness, Step, status, streamed

pytestmark = pytest.mark.asyncio

TAG = "<CCR-SUBAGENT-MODEL>cheap,small</CCR-SUBAGENT-MODEL>"
CHANNELS = [
    channel("a", models=("m", "big")),
    channel("cheap", models=("small", "m"), region="us", tags=("spot",)),
    channel("eu", models=("m", "big"), region="eu"),
    channel("off", models=("m", "only-off"), is_enabled=False),
]


def rule(slug, kind="custom", priority=0, targets=({"channel": "cheap", "model": "small"},), is_enabled=True, **when):
    return RuleSpec(
        slug=slug, type=kind, condition=when, targets=targets, priority=priority, is_enabled=is_enabled
    )  # fmt: skip


HELLO = {"keywords": ["hello"]}


def harness(*rules, steps=(), **fields):
    return Harness(*steps, channels=CHANNELS, rules=rules, **fields)


async def ask(gateway, text="hello", **fields):
    return await gateway.ask(messages=[{"role": "user", "content": text}], **fields)


CALLS: list[Call] = []


@pytest.fixture(autouse=True)
def _noted(monkeypatch):
    """Keep the calls: a decision lies in its call."""
    CALLS.clear()

    async def noted(call, *rest):
        CALLS.append(call)
        await serve(call, *rest)

    monkeypatch.setattr(asgi, "serve", noted)


def decision():
    return CALLS[-1].decision


def only(gateway, **allowed):
    """Give the key allow-lists."""
    gateway.configuration.known = principal(**allowed)
    return gateway


async def test_a_rule_that_holds_decides_and_says_so():
    gateway = harness(rule("greetings", **HELLO))
    answer = await ask(gateway)
    assert answer.status == 200
    assert answer.headers["x-routex-rule"] == "greetings"
    assert (answer.headers["x-routex-channel"], answer.headers["x-routex-model"]) == ("cheap", "small")
    assert gateway.provider.sent[0].body.count(b'"small"') == 1
    found = decision()
    assert (found.asked_model, found.model, found.by, found.rule) == ("m", "small", "rule:greetings", "greetings")
    assert [(t.rule, t.is_match, t.measured, t.skipped) for t in found.rules] == [
        ("greetings", True, "keyword `hello`", "")
    ]


async def test_without_a_rule_that_holds_the_asked_model_answers():
    gateway = harness(rule("greetings", **HELLO))
    answer = await ask(gateway, "good morning")
    assert answer.headers["x-routex-model"] == "m"
    assert "x-routex-rule" not in answer.headers
    found = decision()
    assert (found.model, found.by, found.rule) == ("m", "name", "")
    assert [(t.rule, t.is_match, t.measured) for t in found.rules] == [("greetings", False, "none of 1 keyword(s)")]


async def test_the_highest_priority_comes_first_and_the_rest_is_not_looked_at():
    gateway = harness(
        rule("low", priority=1, **HELLO), rule("high", priority=9, targets=({"model": "big"},), **HELLO), rule("none")
    )
    answer = await ask(gateway)
    assert answer.headers["x-routex-rule"] == "high"
    assert [trace.rule for trace in decision().rules] == ["high"]


async def test_a_disabled_rule_is_not_looked_at():
    gateway = harness(rule("off", is_enabled=False, **HELLO))
    await ask(gateway)
    assert decision().rules == []


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        ({"channel": "gone"}, {}, "there is no channel `gone`"),
        ({"channel": "off"}, {}, "channel `off` is switched off"),
        ({"channel": "a", "model": "small"}, {}, "channel `a` does not serve `small`"),
        ({"model": "nothing"}, {}, "every channel does not serve `nothing`"),
        ({"tag": "prod"}, {}, "tag `prod` does not serve `m`"),
        ({"provider": "other"}, {}, "provider `other` does not serve `m`"),
        ({"channel": "cheap"}, {"channels": ("a",)}, "the key may not use channel `cheap`"),
        ({"model": "big"}, {"models": ("m",)}, "the key may not use `big`"),
    ],
)
async def test_a_rule_whose_target_cannot_serve_is_skipped_with_the_reason(target, fields, reason):
    gateway = only(harness(rule("first", priority=2, targets=(target,), **HELLO)), **fields)
    answer = await ask(gateway)
    assert answer.status == 200
    assert "x-routex-rule" not in answer.headers
    [trace] = decision().rules
    assert trace.is_match
    assert trace.skipped == reason


async def test_a_rule_does_not_take_what_its_target_cannot_answer():
    gateway = harness(rule("all", "default"))
    answer = await gateway.ask({"model": "m", "prompt": "x"}, path="/v1/images/generations")
    assert answer.status == 404
    assert decision().rules[0].skipped == "channel `cheap` does not answer openai-images"


async def test_a_rule_that_this_process_cannot_ask_is_skipped_with_the_reason():
    gateway = harness(rule("plugin", priority=5, customFunction="gone"), rule("next", **HELLO))
    answer = await ask(gateway)
    assert answer.headers["x-routex-rule"] == "next"
    assert "no router 'gone'" in decision().rules[0].skipped


async def test_a_time_zone_that_this_host_has_not_faults_only_the_rules_that_need_it():
    night, words = rule("night", time={"hours": "22-06"}), rule("words", expression="hour > 99")
    gateway = harness(night, words, rule("next", **HELLO), timezone="Mars/North")
    answer = await ask(gateway)
    assert answer.headers["x-routex-rule"] == "next"
    assert ["time zone" in trace.skipped for trace in decision().rules] == [True, True, False]


@pytest.mark.parametrize(
    ("target", "served_by"),
    [
        ({"channel": "cheap"}, {"cheap"}),
        ({"channel": "chn_cheap"}, {"cheap"}),
        ({"tag": "spot"}, {"cheap"}),
        ({"provider": "anything"}, {"a", "cheap", "eu"}),
        ({"model": "big"}, {"a", "eu"}),
        ({"model": "eu/big"}, {"eu"}),
        ({"model": "nick"}, {"eu"}),
        ({"model": "EU/big"}, {"eu"}),
        ({"channel": "a", "model": "eu/big"}, {"a"}),
        ({"provider": "anything", "tag": "spot", "model": "small"}, {"cheap"}),
    ],
)
async def test_a_target_is_a_channel_a_provider_a_tag_a_model_or_all_of_them(target, served_by):
    gateway = harness(rule("r", targets=(target,), **HELLO), aliases={"nick": "eu,big"}, steps=[status(500)] * 9)
    answer = await ask(gateway)
    assert answer.status >= 500
    assert {attempt.channel for attempt in gateway.record.attempts} == served_by


async def test_a_chain_is_tried_in_its_order_and_then_the_models_fallbacks():
    chain = ({"channel": "gone"}, {"channel": "cheap", "model": "small"}, {"model": "big"})
    gateway = harness(
        rule("chain", targets=chain, **HELLO), fallbacks={"big": ("small",)}, steps=[status(500)] * 9,
        policy=PolicySpec(attempts=9),
    )  # fmt: skip
    await ask(gateway)
    tried = [(attempt.channel, attempt.model) for attempt in gateway.record.attempts]
    assert tried[0] == ("cheap", "small")
    assert set(tried[1:3]) == {("a", "big"), ("eu", "big")}


async def test_the_first_targets_of_a_chain_are_told_of_though_a_later_one_serves():
    chain = ({"channel": "off"}, {"channel": "gone"}, {"tag": "spot"}, {"tag": "none"})
    await ask(harness(rule("chain", targets=chain, **HELLO)))
    [trace] = decision().rules
    assert trace.skipped == ""
    assert trace.passed_over == (
        "channel `off` is switched off; there is no channel `gone`; tag `none` does not serve `m`"
    )


async def test_a_channel_and_model_that_several_targets_and_fallbacks_mean_is_tried_and_told_of_once():
    chain = ({"channel": "eu"}, {"model": "m"}, {"tag": "spot"}, {"model": "big"})
    fallbacks = {"m": ("big", "small"), "big": ("m",)}
    gateway = harness(
        rule("chain", targets=chain, **HELLO), fallbacks=fallbacks, policy=PolicySpec(attempts=5),
        steps=[status(500)] * 9,
    )  # fmt: skip
    await ask(gateway)
    tried = [(attempt.channel, attempt.model) for attempt in gateway.record.attempts]
    assert tried[0] == ("eu", "m")
    assert sorted(tried) == [("a", "big"), ("a", "m"), ("cheap", "m"), ("eu", "big"), ("eu", "m")]
    told = [(each.channel, each.model) for each in decision().candidates]
    assert len(told) == len(set(told))
    assert [(each.channel, each.dropped) for each in decision().candidates if each.dropped] == [
        ("off", "is switched off")
    ]


async def test_a_region_narrows_the_targets_and_their_fallbacks():
    gateway = harness(
        rule("eu", "default", targets=(), region="eu"), fallbacks={"m": ("big", "small")}, steps=[status(500)] * 9
    )
    await ask(gateway)
    assert {attempt.channel for attempt in gateway.record.attempts} == {"eu"}


async def test_a_region_that_serves_nothing_skips_the_rule():
    gateway = harness(rule("mars", "default", targets=(), region="mars"))
    await ask(gateway)
    assert decision().rules[0].skipped == "every channel is in another region"


@pytest.mark.parametrize(
    ("model", "by", "channel_slug"),
    [("eu,m", "channel", "eu"), ("eu/m", "channel", "eu"), ("EU,m", "channel", "eu"), ("nick", "alias", "eu")],
)
@pytest.mark.parametrize("more", [(), (channel("any", models=("*",), priority=9),)], ids=["", "with a glob"])
async def test_what_the_name_says_outright_wins_over_rules(model, by, channel_slug, more):
    gateway = Harness(channels=[*CHANNELS, *more], rules=(rule("all", "default"),), aliases={"nick": "eu/m"})
    answer = await ask(gateway, model=model)
    assert (answer.headers["x-routex-channel"], answer.headers["x-routex-model"]) == (channel_slug, "m")
    assert (decision().by, decision().rules) == (by, [])


async def test_a_pinned_channel_wins_over_rules():
    gateway = harness(rule("all", "default"))
    answer = await ask(gateway, headers={"x-routex-channel": "eu"})
    assert (answer.headers["x-routex-channel"], decision().by) == ("eu", "pinned")


async def test_a_model_that_nothing_serves_may_be_taken_by_a_rule():
    gateway = harness(rule("haiku", "background"))
    taken = await ask(gateway, model="claude-haiku-4-5-20251001")
    assert (taken.status, taken.headers["x-routex-model"]) == (200, "small")
    left = await ask(gateway, model="claude-opus-5")
    assert left.status == 404


async def test_the_allow_list_holds_for_the_asked_name_before_any_rule():
    gateway = only(harness(rule("all", "default")), models=("small",))
    assert (await ask(gateway, model="m")).status == 403
    assert decision().rules == []


async def test_a_sub_agents_tag_names_the_model_and_is_taken_out():
    gateway = harness(rule("agents", "subagent", targets=({"model": "big"},)))
    body = {
        "model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "go"}],
        "system": [{"type": "text", "text": "Main."}, {"type": "text", "text": f"{TAG}\nYou look for birds."}],
    }  # fmt: skip
    await gateway.ask(body, path=PATHS["anthropic"])
    assert gateway.record.attempts[0].channel == "cheap"
    sent = json.loads(gateway.provider.sent[0].body)
    assert sent["system"][1]["text"] == "\nYou look for birds."
    assert sent["model"] == "small"


@pytest.mark.parametrize(
    ("tag", "channel_slug", "model"),
    [("Cheap,small", "cheap", "small"), ("any,cheap/m", "any", "cheap/m"), ("nick", "eu", "big")],
)
async def test_a_tag_is_read_as_a_name_that_is_asked_for(tag, channel_slug, model):
    channels = [*CHANNELS, channel("any", models=("*",), priority=9)]
    gateway = Harness(channels=channels, rules=(rule("agents", "subagent"),), aliases={"nick": "eu/big"})
    said = f"<CCR-SUBAGENT-MODEL>{tag}</CCR-SUBAGENT-MODEL>"
    answer = await gateway.ask(messages=[{"role": "system", "content": said}, {"role": "user", "content": "x"}])
    assert (answer.headers["x-routex-channel"], answer.headers["x-routex-model"]) == (channel_slug, model)


async def test_a_tag_that_some_encoders_escape_is_taken_out_too():
    gateway = harness(rule("agents", "subagent"))
    raw = json.dumps({"model": "m", "messages": [{"role": "system", "content": TAG}, {"role": "user", "content": "x"}]})
    answer = await gateway.ask(raw.replace("<", r"\u003c").replace(">", r"\u003e").encode())
    assert answer.headers["x-routex-rule"] == "agents"
    assert b"SUBAGENT" not in gateway.provider.sent[0].body


async def test_a_tag_that_may_not_be_followed_leaves_the_rules_own_targets():
    gateway = only(harness(rule("agents", "subagent", targets=({"model": "big"},))), channels=("a",))
    answer = await gateway.ask(messages=[{"role": "system", "content": TAG}, {"role": "user", "content": "x"}])
    assert (answer.headers["x-routex-channel"], answer.headers["x-routex-model"]) == ("a", "big")


async def test_without_a_sub_agent_rule_a_tag_is_only_text():
    gateway = harness(rule("other", **HELLO))
    await gateway.ask(messages=[{"role": "system", "content": TAG}, {"role": "user", "content": "x"}])
    assert TAG.encode() in gateway.provider.sent[0].body


async def test_the_last_turn_is_remembered_for_its_conversation():
    gateway = harness(rule("long", "longContext", longContext=4), steps=[streamed()] * 3)
    gateway.gateway.max_body_bytes = 10**6
    headers = {"x-session-id": "s1"}
    await ask(gateway, "a heron " * 20, stream=True, headers=headers)
    assert gateway.gateway.last_turns.tokens("ten_1", "s1") == 5


def counted(tokens):
    """An answer whose upstream counted that many input tokens."""
    return Step(chunks=[GOOD_WHOLE.replace(b'"prompt_tokens": 5', b'"prompt_tokens": %d' % tokens)])


LONG_TURN, NEXT_TURN = "heron", "word " * 26_000
REMEMBERS = [{"longContext": True}, {"expression": "last_tokens > 60000"}]


def turns(first, text):
    return [*({"role": "user", "content": each} for each in (first, text) if each)]


@pytest.mark.parametrize("condition", REMEMBERS, ids=["longContext", "expression"])
@pytest.mark.parametrize("headers", [{"x-session-id": "s1"}, {}], ids=["named", "known by its beginning"])
@pytest.mark.parametrize("model", ["m", "a/m"], ids=["by name", "outright"])
async def test_a_turn_after_a_long_one_is_long_too_however_the_conversation_is_known(condition, headers, model):
    gateway = harness(rule("long", **condition), steps=[counted(70_000)])
    gateway.gateway.max_body_bytes = 10**6
    await gateway.ask(messages=turns(LONG_TURN, ""), model=model, headers=headers)
    other = await gateway.ask(messages=turns("gull", NEXT_TURN), headers=headers and {"x-session-id": "s2"})
    assert "x-routex-rule" not in other.headers
    answer = await gateway.ask(messages=turns(LONG_TURN, NEXT_TURN), headers=headers)
    assert answer.headers.get("x-routex-rule") == "long"


async def test_a_sub_agents_turns_are_not_those_of_the_conversation_that_began_it():
    gateway = harness(rule("long", longContext=True), steps=[counted(70_000), counted(900)])
    gateway.gateway.max_body_bytes = 10**6
    session = {"x-claude-code-session-id": "s1"}
    await ask(gateway, LONG_TURN, headers=session)
    await ask(gateway, LONG_TURN, headers=session | {"x-claude-code-agent-id": "a1"})
    assert (await ask(gateway, NEXT_TURN, headers=session)).headers.get("x-routex-rule") == "long"


async def test_a_tag_that_was_taken_out_leaves_a_conversation_known_by_its_beginning():
    long = rule("long", longContext=True, targets=({"channel": "cheap"},))
    gateway = harness(rule("agents", "subagent", priority=-1), long, steps=[counted(70_000)])
    gateway.gateway.max_body_bytes = 10**6
    said = [{"role": "system", "content": TAG}, {"role": "user", "content": LONG_TURN}]
    assert (await gateway.ask(messages=said)).headers["x-routex-rule"] == "agents"
    answer = await gateway.ask(messages=[*said, {"role": "user", "content": NEXT_TURN}])
    assert answer.headers["x-routex-rule"] == "long"


async def test_a_conversation_is_read_for_its_name_only_where_a_rule_asks_after_its_last_turn(monkeypatch):
    read = []
    monkeypatch.setattr("routing.engine.session.derived_id", lambda *given: read.append(given) or "begun-1")
    for condition in (HELLO, {"longContext": True}):
        gateway = Harness(*[counted(9)] * 2, channels=CHANNELS[:1], rules=(rule("r", **condition),))
        await ask(gateway, LONG_TURN, model="m")
        await ask(gateway, LONG_TURN, model="m")
        assert len(read) == (0 if condition is HELLO else 2)  # after each of its two answers


async def test_what_is_noted_for_replays_is_the_turn_before():
    gateway = harness(rule("long", longContext=True), steps=[counted(70_000), counted(900)])
    for _ in range(2):
        gateway.now_s += 1
        await ask(gateway, LONG_TURN)
    assert [record.decision.facts["last_input_tokens"] for record in gateway.records] == [0, 70_000]


async def test_the_memory_of_turns_is_bounded_and_keeps_tenants_apart():
    turns = LastTurns(limit=2)
    for session in ("s1", "s2", "s3"):
        turns.note("ten_1", session, 7)
    turns.note("ten_1", "", 9)
    assert [turns.tokens("ten_1", session) for session in ("s1", "s2", "s3", "")] == [0, 7, 7, 0]
    assert turns.tokens("ten_2", "s3") == 0


async def test_a_failed_answer_says_which_rule_had_decided():
    gateway = harness(rule("greetings", **HELLO), steps=[status(400)])
    answer = await ask(gateway)
    assert (answer.status, answer.headers["x-routex-rule"]) == (400, "greetings")


async def test_a_count_of_tokens_goes_where_its_conversation_would():
    gateway = harness(rule("greetings", **HELLO))
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    answer = await gateway.ask(body, path="/v1/messages/count_tokens")
    assert (answer.status, answer.headers["x-routex-model"]) == (200, "small")


# --- the scenarios of the first SmartRouter, counted by its rules of thumb

OPUS, SONNET, HAIKU = "anthropic-opus", "anthropic-sonnet", "anthropic-haiku"
ASKED = "claude-sonnet-5"
IMAGE_PART = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def smart(*rules):
    served = ModelSpec(ASKED, ASKED)
    gateway = Harness(
        channels=[channel(slug, models=(served,), priority=place) for place, slug in enumerate((HAIKU, OPUS, SONNET))],
        rules=tuple(rule(f"r{p}", kind, p, ({"channel": to},), on, **when) for p, kind, to, on, when in rules),
    )
    gateway.gateway.max_body_bytes = 10**6
    return gateway


LONG = (1, "longContext", OPUS, True, {"tokenThreshold": 50_000})
KEYWORD = (1, "think", OPUS, True, {"keywords": ["plan", "analyze"]})
PATTERN = (1, "custom", OPUS, True, {"modelPattern": "sonnet"})
WITH_TOOLS = (1, "custom", HAIKU, True, {"hasTools": True})
WITH_IMAGES = (1, "image", OPUS, True, {"hasImages": True})
BOTH = (1, "custom", OPUS, True, {"keywords": ["plan"], "hasTools": True})
USER_PATTERN = (1, "custom", HAIKU, True, {"userPattern": r"unit\s+test"})


@pytest.mark.parametrize(
    ("rules", "content", "members", "expected"),
    [
        ([LONG], "x" * 200_000, {}, OPUS),
        ([LONG], "short", {}, None),
        ([KEYWORD], "Please ANALYZE this", {}, OPUS),
        ([KEYWORD], "Good morning", {}, None),
        ([PATTERN], "hello", {}, OPUS),
        ([USER_PATTERN], "a Unit  Test, please", {}, HAIKU),
        ([WITH_TOOLS], "hello", {"tools": TOOLS}, HAIKU),
        ([WITH_TOOLS], "hello", {}, None),
        ([WITH_IMAGES], [{"type": "text", "text": "see"}, IMAGE_PART], {}, OPUS),
        ([(5, "custom", HAIKU, True, HELLO), (9, "custom", OPUS, True, HELLO)], "hello", {}, OPUS),
        ([BOTH], "a plan", {"tools": TOOLS}, OPUS),
        ([BOTH], "a plan", {}, None),
        ([(1, "custom", OPUS, False, HELLO)], "hello", {}, None),
        ([LONG, KEYWORD, WITH_IMAGES], "hello", {}, None),
    ],
)
async def test_the_first_smart_routers_scenarios_hold(rules, content, members, expected):
    gateway = smart(*rules)
    answer = await ask(gateway, content, model=ASKED, **members)
    assert answer.status == 200
    assert answer.headers["x-routex-channel"] == (expected or SONNET)
    assert ("x-routex-rule" in answer.headers) == (expected is not None)


async def test_a_snapshot_remembers_nothing_under_long_names_and_not_too_many_answers():
    harness = Harness(channels=[channel("a", models=("*",))])
    built = harness.configuration.built
    for number in range(MANY_ANSWERS + 10):
        built.remember(("asked", f"m{number}"), number)
    assert len(built.remembered) <= MANY_ANSWERS
    built.remembered.clear()
    assert (await harness.ask(model="m" * 5000)).status == 200
    assert not built.remembered
    await harness.ask(model="m")
    assert built.remembered
