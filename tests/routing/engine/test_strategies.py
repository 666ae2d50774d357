"""The order in which strategies try channels."""

import itertools

import pytest

from routing.engine.resolution import resolve
from routing.engine.strategies import STRATEGIES
from tests.routing.engine.cast import channel, principal, snapshot


def firsts(strategy, *channels):
    """Return which channels come first over many draws of even chances."""
    found, _ = resolve(snapshot(*channels), principal(), ("openai-chat",), "m")
    chance = itertools.cycle([0.1, 0.9, 0.5, 0.7, 0.3]).__next__
    ordered = [[each.channel.spec.slug for each in STRATEGIES[strategy].order(found, chance)] for _ in range(50)]
    assert {len(order) for order in ordered} == {len(channels)}
    return {order[0] for order in ordered}


@pytest.mark.parametrize("strategy", ["priority", "weighted"])
def test_equals_take_turns(strategy):
    assert firsts(strategy, channel("a"), channel("b")) == {"a", "b"}


@pytest.mark.parametrize("strategy", ["priority", "weighted"])
def test_a_channel_that_names_the_model_goes_before_a_glob(strategy):
    assert firsts(strategy, channel("glob", models=["*"]), channel("named")) == {"named"}


def test_priority_outranks_a_name():
    assert firsts("priority", channel("glob", models=["*"], priority=5), channel("named")) == {"glob"}


def test_weight_zero_comes_last():
    for strategy in ("priority", "weighted"):
        assert firsts(strategy, channel("a", weight=0), channel("b")) == {"b"}
