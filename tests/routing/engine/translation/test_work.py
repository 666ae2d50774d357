"""Twice the input is twice the work: calls are counted, not seconds, so the result is the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import pytest

from tests.routing.engine.translation import checks, talking
from tests.routing.engine.translation.fuzz import hostile, rich
from tests.routing.engine.translation.fuzz.targets import targets
from tests.routing.engine.translation.talking import CLIENTS, each, each_pair

#: The most that twice the input may cost. What is fixed makes it less than 2; growing containers a little more.
MOST = 2.8
SIZE = 12_000


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions, Python's own included, were called."""
    count = 0

    def counting(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def assert_linear(work: Callable[[bytes], object], made: Callable[[int], bytes], label: str) -> None:
    work(made(100))  # whatever is done once
    bodies = made(SIZE), made(2 * SIZE)
    once, twice = (calls_of(partial(work, body)) for body in bodies)
    assert twice <= MOST * once + 50, f"{label}: {once} calls for {SIZE} bytes, {twice} for twice as many"


@pytest.mark.parametrize("name", each(CLIENTS))
def test_reading_twice_the_stream_is_twice_the_work(name):
    for label, made in hostile.streams(name).items():
        assert_linear(lambda body: checks.events(name, [body]), made, label)


@pytest.mark.parametrize(("client", "upstream"), each_pair())
def test_telling_twice_the_stream_is_twice_the_work(client, upstream):
    for label, made in hostile.streams(upstream).items():
        assert_linear(lambda body: talking.relayed(checks.reader_for(client, upstream), [body]), made, label)


@pytest.mark.parametrize("name", each(CLIENTS))
def test_reading_twice_the_request_is_twice_the_work(name):
    for label, made in hostile.grown(rich.request_body(name)).items():
        assert_linear(lambda body: checks.request_onwards(name, body), made, label)


@pytest.mark.parametrize("name", each(CLIENTS))
def test_reading_twice_the_answer_is_twice_the_work(name):
    for label, made in hostile.grown(rich.answer_body(name)).items():
        assert_linear(lambda body: checks.answer_onwards(name, body), made, label)


def test_every_fuzz_target_keeps_its_promises_on_little_hostile_inputs():
    for target in targets().values():
        for label, made in target.hostile.items():
            body = made(3000)
            assert body, label
            target.check(body)
