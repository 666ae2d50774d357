import pytest

from routing.engine.surrogates import Halves, whole


def test_halves_of_one_text_are_joined_and_others_left_alone():
    halves = Halves()
    assert [halves.join("a", "x\ud83d"), halves.join("b", "\ude00"), halves.join("a", "\ude00y")] == [
        "x",
        "\ufffd",
        "😀y",
    ]
    assert not halves


def test_half_that_stays_alone_is_replaced():
    halves = Halves()
    assert [halves.join("a", "\ud83d"), halves.join("a", "\ud83d"), halves.join("a", "x")] == ["", "\ufffd", "\ufffdx"]
    halves.join("a", "\ud83d")
    assert (bool(halves), halves.rest(), bool(halves)) == (True, {"a": "\ufffd"}, False)


@pytest.mark.parametrize(
    ("text", "wanted"), [("abc", "abc"), ("\ud83d\ude00é", "😀é"), ("\ude00\ud83d", "\ufffd\ufffd")]
)
def test_whole_text_can_always_be_encoded(text, wanted):
    assert whole(text) == wanted
    assert whole(text).encode()
