"""What holds for every strategy: a new file is tested the moment it has a line."""

import math
import random

import pytest

from routing.engine.snapshot import Candidate
from routing.engine.states import TenantStates
from routing.engine.strategies import STRATEGIES
from routing.engine.strategy import Situation
from tests.routing.engine.cast import channel, snapshot


def candidates(*specs, is_named=True):
    built = snapshot(*(channel(slug, priority=priority, weight=weight) for slug, priority, weight in specs))
    return [Candidate(c, "m", "m", is_named) for c in built.channels.values()]


def order(name, given, **fields):
    situation = Situation(random.Random(1).random, model="m", operations=("openai-chat",), **fields)
    return STRATEGIES[name].order(given, situation)


def slugs(ranked):
    return [each.candidate.channel.spec.slug for each in ranked]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_it_returns_every_candidate_once(name):
    given = candidates(("a", 0, 1), ("b", 5, 2), ("c", 5, 0))
    assert sorted(slugs(order(name, given))) == ["a", "b", "c"]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_one_candidate_is_the_order(name):
    assert slugs(order(name, candidates(("a", 0, 0)))) == ["a"]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_hundred_candidates_are_ordered_whatever_their_weights(name):
    given = candidates(*((f"c{place}", place % 7, place % 4) for place in range(100)))
    ranked = order(name, given)
    assert sorted(slugs(ranked)) == sorted(f"c{place}" for place in range(100))
    assert all(STRATEGIES[name].words(each.number) for each in ranked)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_weight_zero_comes_last(name):
    given = candidates(("a", 0, 0), ("b", 0, 1), ("c", 0, 0), ("d", 0, 1))
    assert set(slugs(order(name, given))[:2]) == {"b", "d"}


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_weight_zero_alone_is_ordered_all_the_same(name):
    assert sorted(slugs(order(name, candidates(("a", 0, 0), ("b", 0, 0))))) == ["a", "b"]


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_channel_that_names_the_model_goes_before_a_glob(name):
    given = [*candidates(("glob", 0, 100), is_named=False), *candidates(("named", 0, 1))]
    assert slugs(order(name, given)) == ["named", "glob"]


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"round_robin"}))
def test_equals_share_first_places_by_weight(name):
    """Within four standard deviations of the binomial distribution: about one false alarm in 16,000 runs."""
    picks = 10_000
    given = candidates(("a", 0, 1), ("b", 0, 3), ("c", 0, 2), ("d", 0, 4))
    chance, states = random.Random(7).random, TenantStates()
    first = dict.fromkeys("abcd", 0)
    for number in range(picks):
        name_of_client = f"10.{number >> 8 & 255}.{number & 255}.1"
        situation = Situation(
            chance, states=states, model="m", client_address=name_of_client, session=f"s{number}",
            operations=("openai-chat",), cost=lambda candidate: 5,
        )  # fmt: skip
        winner = STRATEGIES[name].order(given, situation)[0].candidate.channel.spec
        first[winner.slug] += 1
        if name == "least_used":
            states[winner.id].begin("")
    for slug, share in (("a", 0.1), ("b", 0.3), ("c", 0.2), ("d", 0.4)):
        assert abs(first[slug] - picks * share) <= 4 * math.sqrt(picks * share * (1 - share)), first


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_it_keeps_nothing_itself(name):
    strategy = STRATEGIES[name]
    assert not vars(strategy)
    for seed in (1, 2):
        order(name, candidates(("a", 0, seed), ("b", 0, 1)))
    assert not vars(strategy)
