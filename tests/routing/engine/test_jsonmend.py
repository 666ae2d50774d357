"""Almost-JSON of models, mended where what was meant is plain."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine.jsonmend import mended


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"a": "x', {"a": "x"}),
        ('{"a":[1,2', {"a": [1, 2]}),
        ("{a: 1, b: True,}", {"a": 1, "b": True}),
        ("{'a': 'it\\'s', \"b\":\"c\"}", {"a": "it's", "b": "c"}),
        ('{"a":"line\nend"}', {"a": "line\nend"}),
        ('```json\n{"x":1}\n```', {"x": 1}),
        ('{"a":"x\\', {"a": "x"}),
        ('{"a":"x\\u12', {"a": "x"}),
        ('{"a":1 "b":2}', {"a": 1, "b": 2}),
        ('{"path": "a", "con', {"path": "a"}),
        ('{"a":', {"a": None}),
        ('{"a": {"b": [1, {"c": "d"', {"a": {"b": [1, {"c": "d"}]}}),
        ("{'a': None, 'b': False}", {"a": None, "b": False}),
    ],
)
def test_what_was_meant_is_told(text, meant):
    assert json.loads(mended(text) or "0") == meant


@pytest.mark.parametrize("text", ["", "}", "nonsense {", ":::"])
def test_what_cannot_be_told_is_not_made_up(text):
    assert mended(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)
    )
)
def test_valid_json_comes_back_as_it_is(value):
    text = json.dumps(value)
    assert mended(text) == text


@given(st.dictionaries(st.text(), st.text() | st.lists(st.integers())), st.integers(min_value=1))
def test_any_beginning_of_an_object_is_json_again_or_given_up(value, cut):
    told = mended(json.dumps(value)[:cut])
    assert told is None or json.loads(told) is not Ellipsis


@given(st.text())
def test_nothing_raises(text):
    mended(text)
