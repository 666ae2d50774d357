"""Screens settle rules without reading the conversation: they may say no only where the condition itself says no."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine.counters import COUNTERS, most_tokens
from routing.engine.document import RuleSpec
from routing.engine.rule import Setting
from routing.engine.rules import RULES
from routing.engine.ruleset import Ruleset, judged
from tests.routing.engine.cast import channel, snapshot
from tests.routing.engine.harness import PATHS
from tests.routing.engine.rulecases import traits
from tests.routing.engine.translation import talking
from tests.routing.engine.translation.carries import CARRIES
from tests.routing.engine.translation.conversations import requests
from tests.routing.engine.translation.profile import profile
from tests.routing.engine.translation.talking import CLIENTS, each

#: Letters that change more than their case when they are made small, and what JSON writes otherwise.
TRICKY = 'kKKsSſiIİıßẞσςΣéÉ中 \n\t"\\/<-'
texts = st.text(st.sampled_from(TRICKY), min_size=1, max_size=8)


def screened(condition, values, asked):
    """Return for each value whether the screen says no."""
    screen = condition.screen(values)
    if screen is None:
        return [False for _ in values]
    seen = screen.look(asked)
    return [bool(screen.missed(value, seen)) for value in values]


def holding(condition, values, asked):
    return [condition.test(value, Setting())(asked).holds for value in values]


@profile
@given(said=texts, words=st.lists(texts, min_size=1, max_size=4), ascii_only=st.booleans(), mark=st.booleans())
def test_no_keyword_that_was_said_is_screened_out(said, words, ascii_only, mark):
    body = {"model": "m", "messages": [{"role": "user", "content": said}]}
    written = json.dumps(body, ensure_ascii=ascii_only).encode()
    if mark:  # as some write what stands in HTML
        written = written.replace(b"<", b"\\u003c").replace(b"/", b"\\/")
    asked, values = traits(written), [[word] for word in words if word.strip()]
    if values:
        condition = RULES["keywords"]
        verdicts = zip(screened(condition, values, asked), holding(condition, values, asked), strict=True)
        assert not any(is_out and holds for is_out, holds in verdicts)


@pytest.mark.parametrize("name", each(CLIENTS))
def test_whatever_part_of_a_conversation_is_a_keyword_is_found(name):
    @profile
    @given(asked=requests(CARRIES[name]), data=st.data())
    def holds(asked, data):
        body = msgspec.json.encode(talking.translation(asked, name, talking.permissive(asked)).write().body)
        found = traits(body, name=name, path=PATHS.get(name, PATHS["gemini:generateContent"]))
        if text := found.lower_text:
            start = data.draw(st.integers(0, len(text) - 1))
            word = text[start : start + data.draw(st.integers(1, 20))]
            if word.strip():
                assert screened(RULES["keywords"], [word], found) == [False]

    holds()


@pytest.mark.parametrize("name", each(CLIENTS))
def test_no_counter_of_messages_counts_beyond_what_a_body_can_have(name):
    @profile
    @given(asked=requests(CARRIES[name]))
    def holds(asked):
        body = msgspec.json.encode(talking.translation(asked, name, talking.permissive(asked)).write().body)
        read = talking.client(name).decode_request(body, model=asked.model, is_stream=asked.is_stream)
        most = most_tokens(body)
        assert most is None or all(count(read) <= most for count in COUNTERS.values())

    holds()


@pytest.mark.parametrize("messages", [
    [{"role": "user", "content": ""}] * 50,
    [{"role": "user", "content": '!"#$%&' * 50}],
    [{"role": "user", "content": "7" * 500}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}] * 20}],
])  # fmt: skip
def test_no_dense_body_has_more_tokens_than_its_screen_thinks(messages):
    asked = traits({"model": "m", "messages": messages})
    most = most_tokens(asked.call.body)
    assert most is not None
    assert max(count(asked.request) for count in COUNTERS.values()) <= most


def test_thresholds_beyond_a_bodys_length_miss_unread_and_say_by_how_much():
    asked = traits(text="Hello")
    screen = RULES["tokenThreshold"].screen([50_000, 10, {"tokens": 9000, "counter": "estimate"}])
    assert screen is not None
    seen = screen.look(asked)
    assert screen.missed(50_000, seen) == "at most 256 of 50000 tokens"
    assert screen.missed(10, seen) == ""
    assert screen.missed({"tokens": 9000, "counter": "estimate"}, seen) == ""
    assert asked.call.conversation is None


def test_a_header_that_was_not_sent_settles_its_rules():
    screen = RULES["header"].screen([{"x-team": "core"}, {"X-Env": True}, {"x-env": "prod", "x-team": "*"}])
    assert screen is not None
    seen = screen.look(traits(headers={"x-env": "test", "accept": "*/*"}))
    assert screen.missed({"x-team": "core"}, seen) == "header `x-team` is not sent or has another value"
    assert screen.missed({"X-Env": True}, seen) == ""
    assert "x-team" in screen.missed({"x-env": "prod", "x-team": "*"}, seen)


def test_a_body_that_writes_letters_as_numbers_is_read():
    asked = traits(rb'{"model":"m","messages":[{"role":"user","content":"\u0070lan"}]}')
    assert screened(RULES["keywords"], ["plan"], asked) == [False]
    assert holding(RULES["keywords"], ["plan"], asked) == [True]
    assert most_tokens(asked.call.body) is None


def test_words_too_many_for_one_search_are_asked_one_by_one():
    assert RULES["keywords"].screen([[f"{number} {word:0100}" for word in range(50)] for number in range(2)]) is None


CONDITIONS = {
    "long": {"tokenThreshold": 900},
    "short": {"tokenThreshold": 3},
    "plan": {"keywords": ["plan", "Émile"]},
    "quoted": {"keywords": ['"hm"', "a/b"]},
    "team": {"header": {"x-team": "core*"}},
    "both": {"header": {"x-team": True}, "keywords": "deploy"},
    "tagged": {"keyTag": {"team": "core"}, "keywords": "deploy"},
    "tools": {"hasTools": True},
}


@profile
@given(
    said=st.lists(st.sampled_from(["plan", "Deploy", "ÉMILE", '"hm"', "A/B", "x" * 5000, "hello"])).map(" ".join),
    headers=st.dictionaries(st.sampled_from(["x-team", "accept"]), st.sampled_from(["core-1", "ops"])),
    tags=st.sampled_from([{}, {"team": "core"}]),
)
def test_the_same_rules_hold_with_screens_and_without(said, headers, tags):
    rules = tuple(
        RuleSpec(slug=slug, condition=condition, targets=({"channel": "a"},), priority=-at)
        for at, (slug, condition) in enumerate(CONDITIONS.items())
    )
    known = snapshot(channel("a"), rules=rules)
    asked = traits(text=said, headers=headers, key_tags=tags)
    ruleset = Ruleset(known)
    left = [each.rule.spec.slug for each in ruleset.stretches(known, asked) if each.rule is not None]
    asks = [each.rule for each in judged(ruleset.rules, asked) if each.rule is not None]
    assert {rule.spec.slug for rule in asks if all(test(asked).holds for test in rule.tests)} <= set(left)


def test_what_screens_leave_is_remembered_for_requests_alike():
    rules = tuple(RuleSpec(slug=slug, condition=CONDITIONS[slug], targets=()) for slug in ("long", "team", "both"))
    known = snapshot(channel("a"), rules=rules)
    ruleset = Ruleset(known)
    first = ruleset.stretches(known, traits(text="hello there"))
    assert ruleset.stretches(known, traits(text="how are you")) is first
    assert ruleset.stretches(known, traits(text="deploy it")) is not first
