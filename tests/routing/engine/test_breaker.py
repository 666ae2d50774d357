"""The breaker on a clock that the test moves."""

from routing.engine.breaker import Breaker
from routing.engine.document import PolicySpec

POLICY = PolicySpec(breaker_failures=3, breaker_open_s=60)


def broken(times=3, now_s=0.0):
    breaker = Breaker()
    for _ in range(times):
        breaker.failed(POLICY, now_s)
    return breaker


def test_it_stays_closed_below_the_threshold():
    assert broken(2).standing(POLICY, 0) == "closed"


def test_a_success_forgets_earlier_failures_and_says_whether_it_was_open():
    breaker = broken(2)
    assert not breaker.succeeded(POLICY)
    assert broken(3).succeeded(POLICY)
    breaker.failed(POLICY, 0)
    assert breaker.standing(POLICY, 0) == "closed"


def test_it_opens_at_the_threshold_until_its_time_is_over():
    breaker = broken()
    assert breaker.standing(POLICY, 59.9) == "open"
    assert breaker.standing(POLICY, 60) == "half_open"


def test_only_the_failure_that_opens_says_so():
    breaker = Breaker()
    assert [breaker.failed(POLICY, 0) for _ in range(5)] == [False, False, True, False, False]


def test_half_open_stays_shut_while_its_trial_is_under_way():
    breaker = broken()
    breaker.has_trial = True
    assert breaker.standing(POLICY, 60) == "open"


def test_a_failed_trial_opens_again_for_the_whole_time():
    breaker = broken()
    breaker.has_trial = True
    assert breaker.failed(POLICY, 60)
    assert breaker.standing(POLICY, 119) == "open"
    assert breaker.standing(POLICY, 120) == "half_open"


def test_a_trial_whose_client_left_lets_the_next_one_try():
    breaker = broken()
    breaker.has_trial = True
    assert breaker.abandoned() and not breaker.abandoned()
    assert breaker.standing(POLICY, 60) == "half_open"


def test_a_successful_trial_closes():
    breaker = broken()
    breaker.has_trial = True
    breaker.succeeded(POLICY)
    assert breaker.standing(POLICY, 60) == "closed"


def test_what_another_process_opened_is_open_without_failures_here():
    breaker = Breaker()
    breaker.opened_elsewhere(POLICY, 30)
    assert breaker.standing(POLICY, 29) == "open"
    assert breaker.standing(POLICY, 30) == "half_open"
