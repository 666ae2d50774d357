import pytest

from routing.engine.formats.gemini.arguments import object_of, text_of
from routing.engine.formats.gemini.depth import MAX_DEPTH


@pytest.mark.parametrize("end", ["", "1" + "}" * (MAX_DEPTH + 1)])
def test_arguments_nested_too_deeply_to_be_written_are_none(end):
    assert object_of('{"a":' * (MAX_DEPTH + 1) + end) == ({}, False)
    assert object_of('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)[1]


def test_arguments_are_text_in_the_order_they_came():
    assert text_of({"b": 1, "a": [None, 10**30, "ü"]}) == '{"b":1,"a":[null,1000000000000000000000000000000,"ü"]}'
    assert (text_of(None), text_of('{"a" :1}')) == ("{}", '{"a" :1}')
