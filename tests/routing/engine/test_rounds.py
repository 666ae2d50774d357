"""Smooth weighted round robin: shares by weight, exact over each round and evenly spread in it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routing.engine import rounds
from routing.engine.rounds import Round


def firsts(weights, turns):
    round_ = Round(weights)
    return [round_.turn()[0] for _ in range(turns)]


def test_turns_come_in_the_order_that_nginx_documents():
    assert "".join("abc"[place] for place in firsts((5, 1, 1), 14)) == "aabacaa" * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_in_each_round_everybodys_turns_are_their_weight(weights):
    for start in (0, sum(weights)):
        counted = Counter(firsts(weights, 2 * sum(weights))[start : start + sum(weights)])
        assert [counted[place] for place in range(len(weights))] == weights


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60))
def test_a_round_that_is_kept_goes_like_one_that_is_worked_out(weights, turns):
    kept, worked_out = Round(weights), Round(weights)
    worked_out._is_kept = False
    assert [list(kept.turn()) for _ in range(turns)] == [list(worked_out.turn()) for _ in range(turns)]


def test_a_long_round_is_not_kept():
    long = Round((rounds.MAX_KEPT, 1))
    for _ in range(5):
        assert sorted(long.turn()) == [0, 1]
    assert not long._orders


def test_those_without_weight_keep_their_order():
    assert firsts((0, 0), 3) == [0, 0, 0]
