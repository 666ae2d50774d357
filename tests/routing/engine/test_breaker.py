"""The breaker and the rest of credentials, on a clock that the test moves."""

from routing.engine.breaker import Breaker, ChannelState
from routing.engine.snapshot import Credential, PolicySpec

POLICY = PolicySpec(breaker_failures=3, breaker_open_s=60)


def fail(breaker, times, now_s=0.0):
    for _ in range(times):
        breaker.failed(POLICY, now_s)


def test_it_stays_closed_below_the_threshold():
    breaker = Breaker()
    fail(breaker, 2)
    assert breaker.admits(POLICY, 0)


def test_a_success_forgets_earlier_failures():
    breaker = Breaker()
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.admits(POLICY, 0)


def test_it_opens_at_the_threshold_until_its_time_is_over():
    breaker = Breaker()
    fail(breaker, 3)
    assert not breaker.admits(POLICY, 59.9)
    assert breaker.admits(POLICY, 60)


def test_half_open_admits_one_trial_at_a_time():
    breaker = Breaker()
    fail(breaker, 3)
    assert breaker.admits(POLICY, 60)
    assert not breaker.admits(POLICY, 60)


def test_a_failed_trial_opens_again_for_the_whole_time():
    breaker = Breaker()
    fail(breaker, 3)
    assert breaker.admits(POLICY, 60)
    breaker.failed(POLICY, 60)
    assert not breaker.admits(POLICY, 119)
    assert breaker.admits(POLICY, 120)


def test_a_trial_whose_client_left_lets_the_next_one_try():
    breaker = Breaker()
    fail(breaker, 3)
    assert breaker.admits(POLICY, 60)
    breaker.abandoned()
    assert breaker.admits(POLICY, 60)


def test_a_successful_trial_closes():
    breaker = Breaker()
    fail(breaker, 3)
    breaker.admits(POLICY, 60)
    breaker.succeeded()
    assert breaker.admits(POLICY, 60) and breaker.admits(POLICY, 60)


def test_credentials_take_turns():
    state, pool = ChannelState(), [Credential("a", ""), Credential("b", ""), Credential("c", "")]
    firsts = [state.rested(pool, 0)[0].slug for _ in range(6)]
    assert sorted(firsts) == ["a", "a", "b", "b", "c", "c"]


def test_a_resting_credential_is_left_out_until_its_time():
    state, pool = ChannelState(), [Credential("a", ""), Credential("b", "")]
    state.rest("a", 10)
    assert [c.slug for c in state.rested(pool, 9)] == ["b"]
    assert {c.slug for c in state.rested(pool, 10)} == {"a", "b"}


def test_the_next_try_is_when_the_first_credential_wakes():
    state, pool = ChannelState(), [Credential("a", ""), Credential("b", "")]
    state.rest("a", 10)
    state.rest("b", 20)
    assert state.ready_at_s(pool) == 10


def test_a_credential_never_shows_its_secret():
    assert "hunter2" not in repr(Credential("a", "hunter2"))
