"""What every condition must keep, run over the registry: a new one is tested the moment it has its line."""

from __future__ import annotations

import pytest

from channels_app.engine.registry import Registry
from routing.engine.document import RuleSpec
from routing.engine.rule import Condition, Finding, Router, Setting
from routing.engine.rules import RULES, custom_function
from routing.engine.ruleset import compile_rule
from tests.routing.engine.rulecases import traits

ODD = [None, [], {}, "", "\0", -1, 2**70, 1.5, float("nan"), [[]], [None], {"": ""}, {"a": {"b": []}}, "x" * 100_000]
REQUESTS = {
    "a greeting": lambda: traits(),
    "nothing said": lambda: traits({"model": "m", "messages": []}),
    "an embedding": lambda: traits({"model": "m", "input": "x"}, name="openai-embeddings"),
    "half a surrogate pair": lambda: traits(text="\ud83d"),
    "a body of the wrong shape": lambda: traits(b'{"model":"m","messages":{"a":[1]}}'),
    "a long text": lambda: traits(text="aA1 .?\n`" * 50_000),
}


class Yes(Router):
    """Says yes."""

    def choose(self, traits):
        return True


@pytest.fixture(autouse=True)
def _routers(monkeypatch):
    name = RULES["customFunction"].example
    monkeypatch.setattr(custom_function, "ROUTERS", Registry("routex.routers", __name__, {name: f"{__name__}:Yes"}))


@pytest.fixture(params=list(RULES))
def condition(request) -> Condition:
    return RULES[request.param]


def compiled(condition: Condition, value):
    return compile_rule(RuleSpec(slug="r", condition={condition.name: value}), Setting())


def test_its_name_is_its_registry_line_and_its_summary_a_sentence():
    assert {name: RULES[name].name for name in RULES} == {name: name for name in RULES}
    assert all(RULES[name].summary.endswith(".") for name in RULES)


@pytest.mark.parametrize("asked", REQUESTS)
def test_its_example_can_be_asked_of_any_request(condition, asked):
    example = list(condition.example) if isinstance(condition.example, tuple) else condition.example
    rule = compiled(condition, example)
    assert rule.tests or rule.keeps
    for test in rule.tests:
        found = test(REQUESTS[asked]())
        assert isinstance(found, Finding)
        assert found.measured
        assert len(found.measured) <= 300


def test_a_value_is_refused_in_words_or_can_be_asked(condition):
    refused = 0
    for value in ODD:
        try:
            rule = compiled(condition, value)
        except ValueError as error:
            refused += 1
            assert len(str(error)) < 600
        else:
            assert all(isinstance(test(traits()), Finding) for test in rule.tests)
    assert refused >= len(ODD) - 2
