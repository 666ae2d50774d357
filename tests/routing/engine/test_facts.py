"""What records keep for rules that are drafted later, and what a recorded request refuses to say."""

from __future__ import annotations

import json

import pytest

from routing.engine import facts
from routing.engine.document import RuleSpec
from routing.engine.facts import READ_EACH_S, NotRecorded, RecordedTraits
from routing.engine.rule import Setting
from routing.engine.rules import RULES
from routing.engine.ruleset import compile_rule
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def recorded(**facts):
    return RecordedTraits(
        facts, model="m", started_us=0, user_agent="cli/1", key_tags={"team": "core"}, tenant_tags={}
    )  # fmt: skip


def holds(condition, traits):
    return all(test(traits).holds for test in compile_rule(RuleSpec(slug="r", condition=condition), Setting()).tests)


@pytest.mark.asyncio
async def test_where_rules_read_the_conversation_every_record_keeps_what_they_may_ask():
    rule = RuleSpec(slug="tools", condition={"hasTools": True}, targets=({"channel": "a"},))
    harness = Harness(channels=[channel("a")], rules=(rule,))
    await harness.ask(tools=TOOLS)
    facts = harness.record.decision.facts
    assert facts["has_tools"] is True and facts["words"] == 1 and facts["tokens"]["claude"] > 0


@pytest.mark.asyncio
async def test_requests_that_pass_unread_are_read_afterwards_but_not_all_of_many():
    harness = Harness()
    for _ in range(10):
        await harness.ask()
        harness.now_s += 0.3 * READ_EACH_S
    kept = [record.decision.facts for record in harness.records if record.decision.facts]
    assert len(kept) == 3
    assert all(facts["intent"] and facts["languages"] == [] for facts in kept)


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ({"hasTools": True}, {"has_tools": True}, True),
        ({"hasImages": True}, {"images": 0}, False),
        ({"tokenThreshold": 100}, {"tokens": {"heuristic": 120}}, True),
        ({"minWordCount": 5}, {"words": 4}, False),
        ({"keyTag": {"team": "core"}}, {}, True),
        ({"header": {"user-agent": "cli*"}}, {}, True),
        ({"modelPattern": "^m$"}, {}, True),
        ({"webSearch": True}, {"has_web_search": True}, True),
        ({"think": True}, {"is_thinking": False}, False),
        ({"intent": "question"}, {"intent": "question"}, True),
        ({"programmingLanguage": "python"}, {"languages": ["python"]}, True),
        ({"expression": "words > 3"}, {"words": 4}, True),
    ],
)
def test_conditions_judge_a_recorded_request_by_what_was_kept(condition, facts, expected):
    assert holds(condition, recorded(**facts)) is expected


@pytest.mark.parametrize(
    "condition",
    [
        {"keywords": ["plan"]},
        {"userPattern": "plan"},
        {"header": {"x-team": "core"}},
        {"hasTools": True},
        {"tokenThreshold": 100},
        {"expression": "text.contains('plan')"},
        {"subagent": True},
    ],
)
def test_what_was_not_kept_is_never_guessed(condition):
    with pytest.raises(NotRecorded):
        holds(condition, recorded())


def test_every_condition_can_be_asked_of_a_recorded_request():
    for name in set(RULES) - {"customFunction"}:
        test = RULES[name].test(json.loads(json.dumps(RULES[name].example)), Setting())
        try:
            assert test is None or test(recorded()).holds in {True, False}
        except NotRecorded as missing:
            assert missing.what


@pytest.mark.asyncio
async def test_a_fault_in_noting_loses_neither_the_record_nor_what_was_counted(monkeypatch):
    def broken(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(facts, "facts_of", broken)
    harness = Harness()
    assert (await harness.ask()).status == 200
    assert len(harness.records) == 1


@pytest.mark.asyncio
async def test_what_no_channel_answered_is_not_read():
    harness = Harness()
    assert (await harness.ask(model="nobody's")).status == 404
    assert not any(record.decision.facts for record in harness.records)
