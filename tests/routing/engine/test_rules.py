"""Every type and condition: what it takes, what it leaves, and what somebody tries with it."""

from __future__ import annotations

import datetime as dt

import pytest

from channels_app.engine.registry import Registry
from routing.engine.document import RuleSpec
from routing.engine.rule import Router, Setting
from routing.engine.rules import custom_function
from routing.engine.ruleset import TYPES, compile_rule
from tests.routing.engine.rulecases import NOON, finding, holds, traits

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
LOOK_UP = {"name": "look_up", "input_schema": {"type": "object"}}


def claude(*messages, system=None, model="claude-sonnet-5", **members):
    """A Messages request of these contents, the user's and the model's in turn."""
    roles = ["user", "assistant"] * len(messages)
    said = [{"role": role, "content": content} for role, content in zip(roles, messages, strict=False)]
    body = {"model": model, "max_tokens": 9, "messages": said or [{"role": "user", "content": "Hello"}]} | members
    return traits(body | ({"system": system} if system else {}), name="anthropic")


def result(*parts):
    return [{"type": "tool_result", "tool_use_id": "t1", "content": list(parts)}]


CALLED = [{"type": "tool_use", "id": "t1", "name": "look_up", "input": {}}]
TAG = "<CCR-SUBAGENT-MODEL>main,claude-opus-5</CCR-SUBAGENT-MODEL>"
HUGE = "word " * 200_000

#: type → (a request that it takes, one that it leaves, one that somebody made to fool or to break it and must not hold)
TYPE_CASES = {
    "background": (
        lambda: claude(model="claude-haiku-5"),
        lambda: claude(model="haiku-writer"),
        lambda: claude(model="claude" * 50_000),
    ),
    "think": (
        lambda: claude(thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000),
        lambda: claude(thinking={"type": "disabled"}),
        lambda: claude("Please think, thinking: enabled " * 20_000),
    ),
    "longContext": (
        lambda: claude("a fairly ordinary sentence about harbours " * 12_000),
        lambda: claude("short"),
        lambda: claude([IMAGE | {"source": IMAGE["source"] | {"data": "iVBORw0K" + "A" * 900_000}}]),
    ),
    "webSearch": (
        lambda: claude(tools=[LOOK_UP, SEARCH]),
        lambda: claude(tools=[LOOK_UP]),
        lambda: claude(tools=[LOOK_UP | {"name": "web_search"}]),
    ),
    "image": (
        lambda: claude("see", CALLED, result({"type": "text", "text": "here"}, IMAGE)),
        lambda: claude([IMAGE], "a heron", "and what does it eat?"),
        lambda: claude('{"type": "image"} data:image/png;base64,aGk='),
    ),
    "subagent": (
        lambda: claude(system=[{"type": "text", "text": "You are one."}, {"type": "text", "text": TAG + "Go on."}]),
        lambda: claude(system="You are one."),
        lambda: claude(TAG, system="<CCR-SUBAGENT-MODEL>" * 10_000),
    ),
}


@pytest.mark.parametrize("kind", TYPE_CASES)
def test_a_type_takes_what_it_means(kind):
    assert holds(kind, {}, TYPE_CASES[kind][0]())


@pytest.mark.parametrize("kind", TYPE_CASES)
def test_a_type_leaves_the_rest(kind):
    assert not holds(kind, {}, TYPE_CASES[kind][1]())


@pytest.mark.parametrize("kind", TYPE_CASES)
def test_a_type_is_not_fooled(kind):
    assert not holds(kind, {}, TYPE_CASES[kind][2]())


def test_every_type_has_its_cases():
    assert TYPE_CASES.keys() == set(TYPES) - {"default", "custom"}


@pytest.mark.parametrize("body", [{"model": "m", "input": "a text to embed"}, None])
def test_default_takes_everything(body):
    asked = traits(body, name="openai-embeddings") if body else traits()
    assert holds("default", {}, asked)


@pytest.mark.parametrize("kind", TYPE_CASES)
def test_a_type_with_a_condition_that_says_when_is_matched_by_that_alone(kind):
    assert holds(kind, {"keywords": ["hello"]}, traits())
    assert not holds(kind, {"keywords": ["goodbye"]}, TYPE_CASES[kind][0]())


def test_a_type_keeps_its_own_test_beside_what_only_narrows():
    asked = TYPE_CASES["think"][0]()
    assert not holds("think", {"keyTag": {"team": "core"}}, asked)
    assert holds("think", {"time": {"hours": "11-13"}}, asked)
    assert not holds("think", {"time": {"hours": "11-13"}}, TYPE_CASES["think"][1]())


@pytest.mark.parametrize(
    ("effort", "is_thinking"), [("none", False), ("minimal", False), ("low", True), ("high", True), (None, False)]
)
def test_an_effort_above_minimal_asks_for_thinking(effort, is_thinking):
    assert holds("think", {}, traits(**({"reasoning_effort": effort} if effort else {}))) is is_thinking


def long_turn(last, text):
    return traits(text=text, last=last)


@pytest.mark.parametrize(
    ("last", "words", "is_long"),
    [(70_000, 30_000, True), (70_000, 5_000, False), (50_000, 30_000, False), (0, 30_000, False)],
)
def test_after_a_long_turn_the_next_is_long_unless_it_shrank(last, words, is_long):
    assert holds("longContext", {}, long_turn(last, "harbour " * words)) is is_long


def test_long_context_takes_a_threshold_of_its_own():
    asked = traits(text="harbour " * 5_000)
    assert holds("longContext", {"longContext": 3_000}, asked)
    assert not holds("longContext", {"longContext": 300_000}, asked)


@pytest.mark.parametrize(
    ("headers", "system", "measured"),
    [
        ({"x-claude-code-agent-id": "a1"}, "", "an agent's id"),
        ({}, "x-anthropic-billing-header: cc_version=2; cc_is_subagent=true;", "a sub-agent's mark"),
    ],
)
def test_a_sub_agent_is_known_by_its_clients_mark_too(headers, system, measured):
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "system": system}
    found = finding("subagent", {}, traits(body, name="anthropic", headers=headers))
    assert (found.holds, found.measured, found.target) == (True, measured, "")


def test_the_tag_of_a_sub_agent_names_the_target_and_is_spent():
    found = finding("subagent", {}, TYPE_CASES["subagent"][0]())
    assert (found.target, found.spent) == ("main,claude-opus-5", TAG)


def test_the_example_in_the_instructions_about_the_tag_is_no_tag():
    asked = claude(system="Write <CCR-SUBAGENT-MODEL>Provider/model</CCR-SUBAGENT-MODEL> first.")
    assert not holds("subagent", {}, asked)


PYTHON = "Why does this fail?\n```python\ndef f():\n    return self.x\n```"
TEAM = {"team": "core"}
#: condition → (value, a request where it holds, one where it does not, a hostile one where it must not)
CONDITIONS = {
    "tokenThreshold": (50_000, lambda: traits(text="x" * 200_000), lambda: traits(), lambda: traits(text="")),
    "keywords": (
        ["Plan", "step by step"],
        lambda: traits(text="Think it through STEP BY STEP"),
        lambda: traits(text="Hello"),
        lambda: traits(text="pla n" * 200_000),
    ),
    "userPattern": (
        r"(a+)+$",
        lambda: traits(text="baaa"),
        lambda: traits(text="b"),
        lambda: traits(text="a" * 100_000 + "!"),
    ),
    "modelPattern": (
        "opus|^gpt-5",
        lambda: traits(model="Claude-OPUS-5"),
        lambda: traits(model="claude-haiku-5"),
        lambda: traits(model="z" * 9_000 + "opus"),
    ),
    "hasTools": (
        True,
        lambda: claude(tools=[LOOK_UP]),
        lambda: claude(),
        lambda: claude(tools=[]),
    ),
    "hasImages": (
        True,
        lambda: claude([IMAGE], "a heron", "and now?"),
        lambda: claude(),
        lambda: claude("an image/png"),
    ),
    "minWordCount": (3, lambda: traits(text="one two three"), lambda: traits(), lambda: traits(text="x" * 10**6)),
    "maxWordCount": (3, lambda: traits(), lambda: traits(text="one two three four"), lambda: traits(text=HUGE)),
    "hasCode": (True, lambda: traits(text=PYTHON), lambda: traits(text="Hello"), lambda: traits(text="`" * 2)),
    "contentCategory": (
        ["coding", "research"],
        lambda: traits(text=PYTHON),
        lambda: traits(text="Write me a poem about the moon, a haiku"),
        lambda: traits(text=HUGE),
    ),
    "complexityLevel": (
        "very_complex",
        lambda: traits(
            text="First compare these? Then explain? Finally list the requirements?? " * 40 + PYTHON + "\n- a\n- b"
        ),
        lambda: traits(text="Hi"),
        lambda: traits(text="?" * 300_000),
    ),
    "programmingLanguage": (
        "python",
        lambda: traits(text=PYTHON),
        lambda: traits(text="```rust\nfn main() {}\n```"),
        lambda: traits(text="```" * 100_000),
    ),
    "intent": (
        "debug",
        lambda: traits(text="Fix this bug, it crashes with an exception"),
        lambda: traits(text="What is the capital of Norway?"),
        lambda: traits(text="\u200b" * 100_000),
    ),
    "header": (
        {"User-Agent": "claude-cli*", "x-team": True},
        lambda: traits(headers={"user-agent": "claude-cli/2.1", "x-team": "a"}),
        lambda: traits(headers={"user-agent": "curl/8", "x-team": "a"}),
        lambda: traits(headers={"user-agent": "x" * 60_000, "x-team": ""}),
    ),
    "keyTag": (
        TEAM,
        lambda: traits(key_tags=TEAM | {"env": "ci"}),
        lambda: traits(key_tags={"team": "web"}),
        lambda: traits(headers={"x-routex-tags": "team=core"}),
    ),
    "tenantTag": (
        "team=core",
        lambda: traits(tenant_tags=TEAM),
        lambda: traits(tenant_tags={}),
        lambda: traits(key_tags=TEAM),
    ),
    "time": (
        {"hours": ["9-12:01", "22-06"], "days": "mon-wed", "zone": "UTC"},
        lambda: traits(at=NOON),
        lambda: traits(at=NOON.replace(hour=15)),
        lambda: traits(at=NOON + dt.timedelta(days=1), headers={"date": "Wed, 06 May 2026 11:00:00 GMT"}),
    ),
    "expression": (
        'tokens > 5 && key_tags.team == "core" && tools.exists(t, t == "look_up") && hour == 12',
        lambda: traits(key_tags=TEAM, text=HUGE, tools=[{"type": "function", "function": {"name": "look_up"}}]),
        lambda: traits(key_tags={"team": "web"}),
        lambda: traits(text="\ud800" + HUGE, tools=[{"type": "function", "function": {"name": "x" * 9_000}}] * 300),
    ),
    "customFunction": (
        "night",
        lambda: traits(text="good night"),
        lambda: traits(text="good morning"),
        lambda: traits(text="fail"),
    ),
}


class Night(Router):
    """Takes what speaks of the night, sends the rest nowhere, and fails when asked to."""

    def choose(self, traits):
        if "fail" in traits.text:
            raise RuntimeError("a secret of ours")
        return "main,small" if "owl" in traits.text else "night" in traits.text


@pytest.fixture(autouse=True)
def _routers(monkeypatch):
    registry = Registry("routex.routers", __name__, {"night": f"{__name__}:Night"})
    monkeypatch.setattr(custom_function, "ROUTERS", registry)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_holds(name):
    value, hit, _, _ = CONDITIONS[name]
    assert holds("custom", {name: value}, hit())


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_does_not_hold(name):
    value, _, miss, _ = CONDITIONS[name]
    found = finding("custom", {name: value}, miss())
    assert not found.holds
    assert found.measured


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_withstands_what_is_made_for_it(name):
    value, _, _, hostile = CONDITIONS[name]
    found = finding("custom", {name: value}, hostile())
    assert not found.holds
    assert len(found.measured) <= 250


@pytest.mark.parametrize("name", ["hasTools", "hasImages", "hasCode", "think", "webSearch", "image", "subagent"])
def test_false_asks_for_the_opposite(name):
    assert holds("custom", {name: False}, traits())


def test_all_conditions_must_hold():
    both = {"keywords": ["hello"], "hasTools": True}
    assert not holds("custom", both, traits())
    assert holds("custom", both, traits(tools=[{"type": "function", "function": {"name": "f"}}]))


@pytest.mark.parametrize(
    "condition",
    [
        {"hasTools": True},
        {"keywords": ["hello"]},
        {"userPattern": "."},
        {"minWordCount": 1},
        {"expression": "words > 0"},
    ],
)
@pytest.mark.parametrize(
    "body", [b'{"model":"m","messages":3}', b'{"model":"m","messages":[{"role":"nobody","content":[[]]}]}']
)
def test_a_body_that_only_its_upstream_can_judge_has_no_content(body, condition):
    assert not holds("custom", condition, traits(body))


@pytest.mark.parametrize(
    ("clock", "is_night"),
    [("2026-05-06T21:59", False), ("2026-05-06T22:00", True), ("2026-05-07T05:59", True), ("2026-05-07T06:00", False),
     ("2026-05-07T23:00", False)],
)  # fmt: skip
def test_hours_past_midnight_belong_to_the_day_they_began_on(clock, is_night):
    condition = {"time": {"hours": "22-06", "days": "wed"}}
    assert holds("custom", condition, traits(at=dt.datetime.fromisoformat(clock + "+00:00"))) is is_night


def test_the_clock_is_the_tenants_unless_the_rule_names_a_zone():
    condition = {"time": {"hours": "14-15"}}
    assert not holds("custom", condition, traits())
    assert holds("custom", condition, traits(), timezone="Europe/Berlin")
    assert holds("custom", {"time": {"hours": "21-22", "zone": "Asia/Tokyo"}}, traits(), timezone="Europe/Berlin")


def test_a_router_may_name_the_target():
    assert finding("custom", {"customFunction": "night"}, traits(text="an owl")).target == "main,small"


def test_a_router_that_fails_is_a_miss_that_tells_no_more_than_the_kind():
    found = finding("custom", {"customFunction": "night"}, traits(text="fail"))
    assert (found.holds, found.measured) == (False, "`night` failed: RuntimeError")


@pytest.mark.parametrize(
    ("counter", "text", "model", "tokens"),
    [
        ("heuristic", "x" * 35, "claude-sonnet-5", 14),
        ("heuristic", "x" * 40, "gpt-5.6", 17),
        ("claude", "ab, cd!", "gpt-5.6", 8),
        ("openai", "12 34", "claude", 11),
    ],
)
def test_the_rules_of_thumb_count_as_they_always_did(counter, text, model, tokens):
    """35 / 3.5 + 4; 40 / 4 + 4 + 3; ⌈2 + 0.3 + 1⌉ + 4; ⌈1.25 + 2 + 0.2⌉ + 7."""
    assert traits(text=text, model=model).tokens(counter) == tokens


def test_the_rules_of_thumb_count_messages_only_and_pictures_by_number():
    asked = claude([IMAGE, {"type": "text", "text": "x" * 7}], system="never counted " * 99, tools=[LOOK_UP])
    assert asked.tokens("heuristic") == 2 + 4 + 1500
    assert asked.tokens("estimate") > 1800


REFUSED = [
    ("tokenThreshold", -1), ("tokenThreshold", True), ("tokenThreshold", "60000"), ("tokenThreshold", 1.5),
    ("tokenThreshold", {"tokens": 1, "counter": "magic"}), ("tokenThreshold", {"counter": "claude"}),
    ("keywords", []), ("keywords", [1]), ("keywords", ["x" * 999]), ("keywords", ["x"] * 999), ("keywords", {"a": 1}),
    ("userPattern", "("), ("userPattern", r"(a)\1"), ("userPattern", "(?=a)"), ("userPattern", "a" * 9999),
    ("userPattern", "((((a{100}){100}){100}){100})"), ("userPattern", 3), ("modelPattern", "["), ("modelPattern", ""),
    ("hasTools", "yes"), ("hasImages", 1), ("hasCode", None), ("think", "always"), ("webSearch", 0), ("image", {}),
    ("background", []), ("subagent", "main"), ("longContext", -5), ("longContext", "long"),
    ("minWordCount", -1), ("maxWordCount", None), ("contentCategory", "poetry"), ("complexityLevel", ["hard"]),
    ("programmingLanguage", "klingon"), ("intent", 7), ("region", []), ("region", 5),
    ("header", {}), ("header", {"authorization": "Bearer x"}), ("header", {"X-Api-Key": True}), ("header", "x-team"),
    ("header", {"bad name": "x"}), ("header", {"x-a": "*" * 9}), ("header", {"x-a": 5}), ("header", {5: "x"}),
    ("keyTag", "core"), ("keyTag", {"team": 1}), ("tenantTag", []), ("tenantTag", {}),
    ("time", {}), ("time", {"hours": "25-26"}), ("time", {"hours": "noon"}), ("time", {"days": "someday"}),
    ("time", {"zone": "Mars/Olympus"}), ("time", {"hours": "9-10:75"}), ("time", {"from": 9}), ("time", "9-17"),
    ("time", {"zone": "../../etc/passwd"}), ("time", {"zone": 5}),
    ("customFunction", "unheard-of"), ("customFunction", ["night"]), ("customFunction", None),
    ("nonsense", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda each: str(each)[:30])
def test_a_value_that_makes_no_sense_is_refused_when_it_is_written(name, value):
    with pytest.raises(ValueError, match=name):
        compile_rule(RuleSpec(slug="r", condition={name: value}), Setting())


EXPRESSIONS = {
    "is no CEL": "tokens >",
    "is no truth": "tokens + 1",
    "compares what cannot be compared": 'tokens > "5"',
    "names what is not there": "wallet > 5",
    "is Python": "__import__('os').system('id')",
    "calls what it may not": 'text.matches("(a+)+$")',
    "builds lists": "tools.map(t, t + t).size() > 1",
    "loops in a loop": "tools.all(t, tools.all(u, tools.all(v, t == u)))",
    "loops over a list of its own": "[1, 2, 3].exists(x, x == 2)",
    "joins in a loop": "tools.exists(t, text + text == t)",
    "joins without end": "(" + " + ".join(["text"] * 60) + ").size() > 5",
    "hides a loop in a comment": "tools.exists(t, tools.exists// \n(u, t == u))",
    "hides a loop in a raw text": 'r"\\" == "" || tools.map(x, x) == [] || "a" == "\\""',
    "hides a loop in three quotation marks": "'''a''' == '' || tools.map(x, x) == []",
    "is endless": "tokens > 1 && " * 99 + "true",
    "is nested too deeply": "(" * 490 + "true" + ")" * 490,
    "is empty": "",
    "is no text": 5,
}


@pytest.mark.parametrize("fault", EXPRESSIONS)
def test_an_expression_is_refused_that(fault):
    with pytest.raises(ValueError, match="expression"):
        compile_rule(RuleSpec(slug="r", condition={"expression": EXPRESSIONS[fault]}), Setting())


@pytest.mark.parametrize(
    "expression",
    ['model.startsWith("gpt") || "web_search" in tools', "has(tenant_tags.plan) && tenant_tags.plan == 'gold'",
     'text == "a + (b) // c" || text.size() < 3', "is_thinking ? tokens > 5 : false"],
)  # fmt: skip
def test_an_expression_is_taken(expression):
    assert not holds("custom", {"expression": expression}, traits(text="long enough"))


def test_an_expression_that_asks_after_a_tag_that_is_not_there_is_a_miss():
    found = finding("custom", {"expression": 'key_tags["team"] == "core"'}, traits())
    assert (found.holds, found.measured) == (False, "KeyError: 'team'")


def test_the_longest_expression_sees_bounded_texts_and_lists():
    tools = [{"type": "function", "function": {"name": f"tool-{place}"}} for place in range(500)]
    asked = traits(text=HUGE, tools=tools)
    assert holds("custom", {"expression": "text.size() <= 4096 && tools.size() <= 64"}, asked)
    worst = "tools.all(t, " + " || ".join(['!text.contains("x y z")'] * 30) + ")"
    assert holds("custom", {"expression": worst}, asked)
