"""What holds for every strategy: a new file is tested the moment it has a line."""

import random

import pytest

from routing.engine.snapshot import Candidate
from routing.engine.strategies import STRATEGIES
from tests.routing.engine.cast import channel, snapshot


def candidates(*specs):
    built = snapshot(*(channel(slug, priority=priority, weight=weight) for slug, priority, weight in specs))
    return [Candidate(c, "m", "m") for c in built.channels.values()]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_it_returns_every_candidate_once(name):
    given = candidates(("a", 0, 1), ("b", 5, 2), ("c", 5, 0))
    ordered = STRATEGIES[name].order(given, random.Random(1).random)
    assert sorted(c.channel.spec.slug for c in ordered) == ["a", "b", "c"]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_equals_share_first_tries_by_weight(name):
    given = candidates(("a", 0, 1), ("b", 0, 3))
    chance = random.Random(7).random
    firsts = [STRATEGIES[name].order(given, chance)[0].channel.spec.slug for _ in range(4000)]
    assert 0.70 < firsts.count("b") / len(firsts) < 0.80


def test_priority_puts_the_highest_first_whatever_the_weight():
    given = candidates(("a", 1, 1000), ("b", 2, 1))
    chance = random.Random(7).random
    assert all(STRATEGIES["priority"].order(given, chance)[0].channel.spec.slug == "b" for _ in range(50))


def test_weight_zero_comes_last():
    given = candidates(("a", 0, 0), ("b", 0, 1))
    chance = random.Random(7).random
    assert all(STRATEGIES["weighted"].order(given, chance)[0].channel.spec.slug == "b" for _ in range(50))
