from routing.engine.wirejson import Halves, decode_halves


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
