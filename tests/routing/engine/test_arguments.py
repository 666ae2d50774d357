import random

import pytest

from routing.engine.arguments import Nesting, as_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('{"a": 1.50}', {"a": 1.5}),
        ('{"a": "\\ud83d\\ude42"}', {"a": "🙂"}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
    ],
)
def test_arguments_that_say_what_they_mean(text, value):
    assert as_object(text) == (value, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"path": "/x", "content": "ab', {"path": "/x", "content": "ab"}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": 1, "b":', {"a": 1}),
        ('{"a": tr', {}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\\\', {"a": "x\\"}),
        ('{"a": "x\\u12', {"a": "x"}),
        ('{"a": [1, {"b": 2}, ', {"a": [1, {"b": 2}]}),
        ('{"a": 1}{"a": 2}', {"a": 1}),
        ("[1]", {"value": [1]}),
        ("5", {"value": 5}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("run it", {}),
    ],
)
def test_what_can_be_read_of_others_is_kept(text, value):
    assert as_object(text) == (value, False)


@pytest.mark.parametrize("mark", ["[", '{"a":', '"', "\\", ",", "]", "a"])
def test_hostile_arguments_end(mark):
    assert as_object('{"x": ' + mark * 100_000)[1] is False


def test_nesting_does_not_depend_on_the_cuts():
    text = '{"a\\"}": [1, {"c": "\\\\\\u00e9]}"}, null], "d": {}}'
    for seed in range(200):
        cuts, nesting, seen = random.Random(seed), Nesting(), 0
        while seen < len(text):
            assert not nesting.is_closed
            fragment = text[seen : seen + cuts.randint(0, 5)]
            nesting.feed(fragment)
            seen += len(fragment)
        assert nesting.is_closed
        assert nesting.first_end == len(text)
