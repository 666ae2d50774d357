import msgspec
import pytest

from routing.engine.wirejson import Halves, count_of, decode_cut, decode_halves


def test_halves_of_one_character_meet_again():
    halves = Halves()
    first, second = decode_halves(b'"caf\\u00e9 \\ud83d"'), decode_halves(b'"\\ude42!"')
    assert [halves.join(first), halves.join(second), halves.rest()] == ["café ", "🙂!", ""]


def test_halves_that_stay_alone_are_told_as_such():
    halves = Halves()
    assert halves.join("\ude42a\ud83db") == "�a�b"
    assert halves.join("\ud83d") == ""
    assert halves.join("x") == "�x"
    assert halves.join("\ud83d") + halves.rest() == "�"
    assert halves.rest() == ""


EVENT = msgspec.json.Decoder(dict)
TEXT = frozenset({("delta", "text")})


def test_only_texts_that_come_in_pieces_keep_their_halves():
    data = rb'{"delta":{"text":"a\ud83d","name":"\ud83d"},"text":"\ude42","list":[{"text":"\ud83d"}]}'
    said = decode_cut(EVENT, data, TEXT)
    assert said == {"delta": {"text": "a\ud83d", "name": "�"}, "text": "�", "list": [{"text": "�"}]}
    assert decode_cut(EVENT, rb'{"delta":{"text":"\ud83d\ude42"}}', TEXT) == {"delta": {"text": "🙂"}}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", rb'{"a":"\ud83d"', rb'{"a":"\ud83d","b":NaN}', b'{"a":"\xff"}'])
def test_what_is_no_event_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        decode_cut(EVENT, data, TEXT)


@pytest.mark.parametrize(
    ("value", "count"),
    [(3, 3), (3.0, 3), (-1, 0), (True, 0), ("3", 0), (None, 0), (float("nan"), 0), (float("inf"), 0), ([], 0)],
)
def test_counts_are_read_as_far_as_they_are_such(value, count):
    assert count_of(value) == count
