import pytest

from routing.engine.formats.gemini.arguments import object_of, text_of
from routing.engine.formats.gemini.depth import MAX_DEPTH


@pytest.mark.parametrize("text", ["", "  ", "{}", ' {"a": [1, {"b": null}]} '])
def test_whole_arguments_are_exact(text):
    assert object_of(text)[1]


@pytest.mark.parametrize(
    ("torn", "found"),
    [
        ('{"a":1', {"a": 1}),
        ('{"a":"x', {"a": "x"}),
        ('{"a":"x\\', {"a": "x"}),
        ('{"a":"x\\u12', {"a": "x"}),
        ('{"a":"x\\\\', {"a": "x\\"}),
        ('{"a":"x\\ud83d', {"a": "x\ufffd"}),
        ('{"a":[1,2,{"b":tr', {"a": [1, 2, {}]}),
        ('{"a":1,"b', {"a": 1}),
        ('{"a":1,"b":', {"a": 1}),
        ('{"a":{"b":[1,', {"a": {"b": [1]}}),
        ('{"a":1}}', {"a": 1}),
        ('{"a":1} and more', {"a": 1}),
        ('{"a":1,}', {"a": 1}),
        ('{"a":"two\nlines"}', {"a": "two\nlines"}),
        ("[1]", {}),
        ('"text"', {}),
        ("nonsense", {}),
        ("{a:1}", {}),
        ('{"a":NaN}', {}),
        ('{"a":' * (MAX_DEPTH + 1), {}),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), {}),
    ],
)
def test_torn_arguments_are_read_as_far_as_they_go(torn, found):
    assert object_of(torn) == (found, False)


def test_arguments_are_text_in_the_order_they_came():
    assert text_of({"b": 1, "a": [None, 10**30, "ü"]}) == '{"b":1,"a":[null,1000000000000000000000000000000,"ü"]}'
    assert (text_of(None), text_of('{"a" :1}')) == ("{}", '{"a" :1}')
