"""Arguments that echo invents for a tool."""

import jsonschema
import pytest

from channels_app.engine.providers.echo.tool_arguments import dummy_arguments

EVERY_TYPE = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer", "minimum": 3},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "nothing": {"type": "null"},
        "list": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        "empty": {"type": "array", "items": {"type": "integer"}},
        "nested": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
        "choice": {"type": "string", "enum": ["red", "green"]},
        "fixed": {"const": 7},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "maybe": {"type": ["null", "boolean"]},
        "place": {"$ref": "#/$defs/Place"},
        "optional": {"type": "string"},
    },
    "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
EVERY_TYPE["required"] = [name for name in EVERY_TYPE["properties"] if name != "optional"]


def test_arguments_fit_the_schema_and_leave_out_what_is_optional():
    arguments = dummy_arguments(EVERY_TYPE)
    jsonschema.validate(arguments, EVERY_TYPE)
    assert set(arguments) == set(EVERY_TYPE["required"])


def test_types_in_capitals_are_understood():
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}, "required": ["n"]}
    assert dummy_arguments(schema) == {"n": 1}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        [],
        {},
        {"type": "string"},
        {"type": "object", "properties": [], "required": 3},
        {"type": 5, "enum": {}, "anyOf": {}},
        {"type": []},
        {"$ref": 4},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
    ],
)
def test_schema_that_is_none_gives_no_arguments(schema):
    assert dummy_arguments(schema) == {}


def test_required_name_without_a_property_is_still_given():
    assert set(dummy_arguments({"type": "object", "properties": {}, "required": ["x", 5]})) == {"x"}


def test_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}, "required": ["l", "r"]}
    assert set(dummy_arguments(node)) == {"l", "r"}


def test_huge_arrays_stay_small():
    deep = {"type": "integer"}
    for _ in range(6):
        deep = {"type": "array", "minItems": 10**9, "items": deep}
    arguments = dummy_arguments({"type": "object", "properties": {"x": deep}, "required": ["x"]})
    assert len(str(arguments)) < 20_000
