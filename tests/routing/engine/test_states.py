"""What a process remembers of channels: the rest and the choice of credentials, speed, turns."""

import pytest

from routing.engine.snapshot import Credential
from routing.engine.states import MAX_MODELS, ChannelState, TenantStates

POOL = [Credential("a", ""), Credential("b", ""), Credential("c", "")]


def slugs(state, pool=POOL, now_s=0.0, pinned=""):
    return [c.slug for c in state.rested(pool, now_s, pinned)]


def used(state, pool=POOL):
    slug = slugs(state, pool)[0]
    state.begin(slug)
    return slug


def test_credentials_take_turns():
    state = ChannelState()
    assert sorted(used(state) for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]


def test_the_one_with_most_left_goes_before_the_one_that_was_idle_longest():
    state = ChannelState()
    state.credential("a").left, state.credential("b").left, state.credential("c").left = 0.2, 0.9, 0.5
    assert slugs(state) == ["b", "c", "a"]


def test_the_sessions_own_credential_goes_before_all():
    state = ChannelState()
    state.credential("a").left = 0.1
    assert slugs(state, pinned="a")[0] == "a"


def test_a_resting_credential_is_left_out_until_its_time_even_for_its_session():
    state = ChannelState()
    state.rest("a", 10)
    assert slugs(state, now_s=9, pinned="a") == ["b", "c"]
    assert slugs(state, now_s=10, pinned="a")[0] == "a"


def test_a_single_credential_rests_too():
    state = ChannelState()
    state.rest("a", 10)
    assert slugs(state, POOL[:1], 9) == []
    assert slugs(state, POOL[:1], 10) == ["a"]


def test_the_next_try_is_when_the_first_credential_wakes():
    state = ChannelState()
    state.rest("a", 10)
    state.rest("b", 20)
    assert state.ready_at_s(POOL[:2]) == 10


def test_a_credential_never_shows_its_secret():
    assert "hunter2" not in repr(Credential("a", "hunter2"))


def test_speed_is_a_moving_average_per_model_and_kind_of_answer():
    state = ChannelState()
    for ms in (100.0, 200.0):
        state.measured("m", True, ms)
    state.measured("m", False, 900.0)
    assert state.first_token_ms == {("m", True): pytest.approx(120.0), ("m", False): 900.0}


def test_memory_does_not_grow_with_the_models_that_callers_name():
    state, states = ChannelState(), TenantStates()
    for number in range(MAX_MODELS + 50):
        state.measured(f"m{number}", False, 1.0)
        states.next_turn(f"m{number}")
        states.round(f"m{number}", ("a", "b"), (1, 1)).turn()
    assert len(state.first_token_ms) == len(states._turns) == len(states._rounds) == MAX_MODELS
