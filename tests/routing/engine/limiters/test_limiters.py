"""Every limiter as a pure algorithm: what passes, what does not, and what nobody should try."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.engine.limiter import EPSILON_S, NEVER, Limiter, Terms
from routing.engine.limiters import LIMITERS, check, limiter_of, terms_of
from tenants.engine.limits import LimitSpec

RATE_LIMITERS = ["adaptive", "leaky_bucket", "sliding_window", "token_bucket", "warm_up"]
START_S = 1_790_000_000.0


class Run:
    """One limit and its state, with a clock that the test moves; the state goes through bytes after each step."""

    def __init__(self, algorithm: str, limit: int = 10, window_s: int = 60, holder: str = "me", **options: Any) -> None:
        kind = "concurrency" if algorithm == "concurrency" else "requests"
        self.limiter: Limiter[Any] = limiter_of(kind, algorithm)
        spec = LimitSpec(id="l", kind=kind, algorithm=algorithm, limit=limit, window_s=window_s, options=options)
        self.terms: Terms = terms_of(spec, holder)
        self.now_s = START_S
        self.state = self.limiter.new(self.terms, self.now_s)

    def take(self, n: int = 1, at: float | None = None) -> Any:
        self.now_s = self.now_s if at is None else START_S + at
        self.state, verdict = self.limiter.take(self.terms, self.state, self.now_s, n)
        self._store()
        return verdict

    def adjust(self, n: int) -> None:
        self.state = self.limiter.adjust(self.terms, self.state, self.now_s, n)
        self._store()

    def hear(self, successes: int = 0, refusals: int = 0) -> None:
        self.state = self.limiter.heard(self.terms, self.state, self.now_s, successes, refusals)

    def left(self) -> int:
        return self.limiter.left(self.terms, self.state, self.now_s)

    def passes(self, tries: int, at: float | None = None) -> int:
        return sum(self.take(at=at).granted for _ in range(tries))

    def _store(self) -> None:
        self.state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.state), type=self.limiter.state)


# --- sliding window


def test_window_lets_exactly_its_limit_through():
    run = Run("sliding_window")
    assert run.passes(15) == 10


def test_window_opens_again_when_its_first_requests_are_a_window_old():
    run = Run("sliding_window")
    run.passes(5, at=0)
    run.passes(5, at=30)
    assert run.passes(5, at=59.9) == 0
    assert run.passes(9, at=60.1) == 5


def test_window_that_straddles_two_minutes_is_no_gap():
    run = Run("sliding_window")
    assert run.passes(10, at=59) == 10
    assert run.passes(10, at=61) == 0


def test_wait_of_a_window_is_until_enough_of_it_has_run_out():
    run = Run("sliding_window")
    run.take(4, at=0)
    run.take(6, at=20)
    assert run.take(3, at=30).wait_s == pytest.approx(30, abs=0.01)
    assert run.take(5, at=30).wait_s == pytest.approx(50, abs=0.01)


def test_request_larger_than_its_window_never_passes():
    assert Run("sliding_window").take(11).wait_s == NEVER


def test_permits_taken_ahead_are_remembered_from_their_last_use():
    run = Run("sliding_window")
    run.state, verdict = run.limiter.take(run.terms, run.state, START_S, 10, START_S + 5)
    assert verdict.granted
    assert run.passes(1, at=60.1) == 0
    assert run.passes(1, at=65.1) == 1


def test_what_comes_back_to_a_window_may_be_taken_again():
    run = Run("sliding_window")
    run.take(6, at=0)
    run.take(4, at=10)
    run.adjust(-3)
    assert run.left() == 3
    assert run.passes(5) == 3


def test_window_that_was_overdrawn_stays_closed_for_longer():
    run = Run("sliding_window")
    run.take(5, at=0)
    run.adjust(20)
    assert run.left() == 0
    assert not run.take(at=59).granted
    assert run.take(at=60.1).granted


def test_more_given_back_than_taken_makes_no_room_beyond_the_limit():
    run = Run("sliding_window")
    run.take(2)
    run.adjust(-50)
    assert run.passes(15) == 10


@given(
    limit=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 30, allow_nan=False), st.integers(1, 5)), max_size=80),
)
@settings(max_examples=200, deadline=None)
def test_no_window_anywhere_holds_more_than_the_limit(limit, steps):
    run = Run("sliding_window", limit)
    passed: list[tuple[float, int]] = []
    at = 0.0
    for pause_s, n in steps:
        at += pause_s
        if run.take(n, at=at).granted:
            passed.append((at, n))
    for start, _ in passed:
        assert sum(n for when, n in passed if start <= when < start + 60 - 2 * EPSILON_S) <= limit


@given(
    algorithm=st.sampled_from(RATE_LIMITERS),
    limit=st.integers(1, 500),
    window_s=st.sampled_from([1, 7, 60, 3600]),
    steps=st.lists(st.tuples(st.floats(0, 20, allow_nan=False), st.integers(1, 4)), min_size=1, max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_whoever_waits_as_told_passes(algorithm, limit, window_s, steps):
    run = Run(algorithm, limit, window_s)
    at = 0.0
    for pause_s, n in steps:
        at += pause_s
        verdict = run.take(n, at=at)
        if not verdict.granted and verdict.wait_s != NEVER:
            # `retry-after-ms` is rounded up.
            at += math.ceil(verdict.wait_s * 1000) / 1000
            assert run.take(n, at=at).granted


@given(
    algorithm=st.sampled_from(["sliding_window", "token_bucket"]),
    steps=st.lists(st.tuples(st.sampled_from(["take", "back"]), st.integers(1, 6)), max_size=60),
)
@settings(max_examples=200, deadline=None)
def test_what_is_taken_and_what_is_left_are_the_limit(algorithm, steps):
    run = Run(algorithm, 20)
    taken = 0
    for what, n in steps:
        if what == "take":
            granted = run.take(n).granted
            assert granted == (taken + n <= 20)
            taken += n * granted
        elif n <= taken:
            run.adjust(-n)
            taken -= n
        assert run.left() == 20 - taken


# --- token bucket


def test_bucket_lets_its_burst_through_at_once_and_its_rate_after():
    run = Run("token_bucket", 60, 60, burst=5)
    assert run.passes(10, at=0) == 5
    assert run.passes(10, at=3) == 3
    assert run.passes(99, at=1000) == 5


def test_bucket_without_a_burst_keeps_its_limit():
    assert Run("token_bucket", 60).passes(100) == 60


def test_request_larger_than_the_burst_never_passes():
    assert Run("token_bucket", 60, burst=5).take(6).wait_s == NEVER


def test_bucket_in_debt_waits_until_it_is_paid():
    run = Run("token_bucket", 60, 60, burst=5)
    run.take(5)
    run.adjust(10)
    assert run.take(1).wait_s == pytest.approx(11)


# --- leaky bucket


def test_requests_leave_a_leaky_bucket_at_an_even_pace():
    run = Run("leaky_bucket", 60, 60, queue=3)
    assert [run.take(at=0).wait_s for _ in range(4)] == pytest.approx([0, 1, 2, 3])


def test_full_queue_refuses_until_there_is_a_place():
    run = Run("leaky_bucket", 60, 60, queue=3)
    run.passes(4, at=0)
    refused = run.take(at=0.25)
    assert (refused.granted, refused.wait_s) == (False, pytest.approx(0.75))


def test_leaky_bucket_without_a_queue_refuses_what_comes_too_fast():
    run = Run("leaky_bucket", 60, 60, queue=0)
    assert run.passes(3, at=0) == 1
    assert run.passes(1, at=1.001) == 1


def test_time_that_passed_does_not_come_back_to_a_leaky_bucket():
    run = Run("leaky_bucket", 60, 60, queue=3)
    run.take(at=0)
    run.now_s += 10
    run.adjust(-5)
    assert [run.take().wait_s for _ in range(2)] == pytest.approx([0, 1])


# --- warm-up


def test_rate_rises_while_it_warms_up():
    run = Run("warm_up", 6000, 60, warm_up_s=60, cold=0.2, burst=10)
    each_second = []
    for second in range(80):
        each_second.append(sum(run.take(at=second + tick / 200).granted for tick in range(200)))
    assert each_second[0] == pytest.approx(22, abs=3)
    assert each_second[30] == pytest.approx(60, abs=4)
    assert each_second[70] == pytest.approx(100, abs=3)


def test_idle_limit_is_cold_again():
    run = Run("warm_up", 6000, 60, warm_up_s=10, cold=0.2, idle_s=30)
    for second in range(20):
        run.passes(100, at=float(second))
    assert run.passes(200, at=20.0) == 100
    assert run.passes(200, at=80.0) == 20


def test_pause_shorter_than_the_idle_time_does_not_cool():
    run = Run("warm_up", 6000, 60, warm_up_s=10, cold=0.2, idle_s=30)
    for second in range(20):
        run.passes(100, at=float(second))
    assert run.passes(200, at=40.0) == 100


def test_request_larger_than_a_warming_bucket_passes_when_it_is_full_and_holds_up_the_next():
    run = Run("warm_up", 60, 60, warm_up_s=10, cold=0.5, idle_s=30)
    assert run.take(30, at=0).granted
    assert run.take(1, at=10).wait_s > 15


# --- adaptive


def test_refusals_of_the_upstream_halve_the_rate_down_to_the_floor():
    run = Run("adaptive", 600, 60, floor=0.2, hold_s=1)
    for cut in range(10):
        run.now_s = START_S + 2.0 * cut
        run.hear(refusals=1)
    run.passes(99, at=100)
    assert run.passes(99, at=110) == 2  # a second's worth is all that is kept
    assert sum(run.passes(1, at=111 + tick / 10) for tick in range(100)) == pytest.approx(20, abs=2)


def test_refusals_of_one_overload_cut_once():
    run = Run("adaptive", 600, 60, hold_s=1)
    for _ in range(20):
        run.hear(refusals=1)
    assert run.state.share == 0.5


def test_successes_add_a_share_for_each_limit_of_them():
    run = Run("adaptive", 100, 60, increase=0.1)
    run.hear(refusals=1)
    run.hear(successes=100)
    assert run.state.share == pytest.approx(0.6)
    run.hear(successes=10_000)
    assert run.state.share == 1.0


# --- concurrency


def test_as_many_as_the_limit_run_at_once():
    run = Run("concurrency", 3)
    assert run.passes(5) == 3
    run.adjust(-1)
    assert run.passes(5) == 1


def test_process_that_says_nothing_any_more_holds_nothing():
    run = Run("concurrency", 3)
    run.passes(3)
    other = terms_of(LimitSpec(id="l", kind="concurrency", limit=3), "other")
    late_s = START_S + 14
    assert not run.limiter.take(other, run.state, late_s, 1)[1].granted
    assert run.limiter.take(other, run.state, late_s + 2, 1)[1].granted


def test_process_that_goes_on_saying_what_it_holds_keeps_it():
    run = Run("concurrency", 3)
    run.passes(3)
    state = run.limiter.renew(run.terms, run.state, START_S + 14, 2)
    other = terms_of(LimitSpec(id="l", kind="concurrency", limit=3), "other")
    assert run.limiter.left(other, state, START_S + 28) == 1


# --- all of them


@pytest.mark.parametrize("algorithm", [*RATE_LIMITERS, "concurrency"])
def test_limit_of_nothing_lets_nothing_through(algorithm):
    run = Run(algorithm, 0)
    verdict = run.take(at=1000)
    assert (verdict.granted, verdict.wait_s, run.left()) == (False, NEVER, 0)


@pytest.mark.parametrize("algorithm", [*RATE_LIMITERS, "concurrency"])
def test_clock_that_goes_back_lets_nothing_more_through(algorithm):
    run = Run(algorithm, 5, 60, **({"queue": 0} if algorithm == "leaky_bucket" else {}))
    run.take(1, at=10)
    passed = run.passes(50, at=10)
    assert run.passes(50, at=2) == 0
    assert passed <= 5


@pytest.mark.parametrize("algorithm", [*RATE_LIMITERS, "concurrency"])
def test_no_step_changes_the_state_it_is_given(algorithm):
    run = Run(algorithm, 5)
    before = msgspec.msgpack.encode(run.state)
    given_state = run.state
    run.limiter.take(run.terms, given_state, START_S + 1, 1)
    run.limiter.adjust(run.terms, given_state, START_S + 1, 2)
    run.limiter.heard(run.terms, given_state, START_S + 1, 1, 1)
    run.limiter.renew(run.terms, given_state, START_S + 1, 4)
    assert msgspec.msgpack.encode(given_state) == before


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"algorithm": "magic"}, "no limiter 'magic'"),
        ({"algorithm": "concurrency"}, "does not count requests"),
        ({"options": {"burts": 3}}, "unknown field"),
        ({"options": {"on_outage": "open"}}, "Invalid enum value 'open'"),
        ({"algorithm": "token_bucket", "options": {"burst": 0}}, "burst is a whole number from 1"),
        ({"algorithm": "token_bucket", "options": {"burst": "9"}}, "Expected `int"),
        ({"algorithm": "leaky_bucket", "options": {"queue": -1}}, "queue is a whole number from 0"),
        ({"algorithm": "warm_up", "options": {"warm_up_s": 0}}, "more than 0"),
        ({"algorithm": "warm_up", "options": {"cold": 1.5}}, "cold is a share"),
        ({"algorithm": "adaptive", "options": {"decrease": 1}}, "are shares"),
    ],
)
def test_options_that_make_no_sense_are_told(fields, told):
    limit = {"kind": "requests", "algorithm": "sliding_window", "limit": 5, "window_s": 60, "options": {}} | fields
    with pytest.raises(ValueError, match=told.replace("`", "")):
        check(**limit)


def test_concurrency_needs_no_algorithm_to_be_named():
    assert limiter_of("concurrency", "sliding_window") is LIMITERS["concurrency"]
