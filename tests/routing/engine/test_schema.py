import json

import pytest

from routing.engine.openapi import from_openapi, to_openapi
from routing.engine.schema import find, object_schema, to_json_schema

STRING = {"type": "string"}


# --- an object at the root -------------------------------------------------------------------------------------------


def test_object_is_left_as_it_is():
    schema = {"type": "object", "properties": {"a": STRING}, "additionalProperties": False}
    assert object_schema(schema) is schema


@pytest.mark.parametrize("schema", [None, {}])
def test_no_schema_is_an_object_without_members(schema):
    assert object_schema(schema) == {"type": "object", "properties": {}}


def test_alternatives_at_the_root_become_one_object():
    schema = {
        "description": "d",
        "anyOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}, "x": STRING}, "required": ["kind", "x"]},
            {"$ref": "#/$defs/B"},
            {"type": "null"},
        ],
        "$defs": {"B": {"type": "object", "properties": {"kind": {"const": "b"}, "y": STRING}, "required": ["kind"]}},
    }
    flat = object_schema(schema)
    assert flat["type"] == "object"
    assert "anyOf" not in flat
    assert flat["properties"] == {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "x": STRING, "y": STRING}
    assert flat["required"] == ["kind"]
    assert (flat["description"], flat["$defs"]) == ("d", schema["$defs"])


def test_alternative_demands_beside_members_are_forgotten():
    schema = {"type": "object", "properties": {"a": STRING, "b": STRING}, "required": ["a"]}
    assert object_schema({**schema, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}) == schema


def test_joined_schemas_and_references_at_the_root_become_one_object():
    schema = {
        "allOf": [{"$ref": "#/definitions/A"}, {"properties": {"b": STRING}, "required": ["b"]}],
        "definitions": {"A": {"type": "object", "properties": {"a": STRING}, "required": ["a"]}},
    }
    flat = object_schema(schema)
    assert flat["properties"] == {"a": STRING, "b": STRING}
    assert sorted(flat["required"]) == ["a", "b"]
    assert object_schema({"$ref": "#/$defs/A", "$defs": schema["definitions"]})["properties"] == {"a": STRING}


@pytest.mark.parametrize("schema", [{"properties": {"a": STRING}}, {"type": ["object", "null"]}])
def test_root_that_may_be_an_object_is_one(schema):
    assert object_schema(schema) == {**schema, "type": "object"}


def test_root_that_is_no_object_is_put_into_one():
    schema = {"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": STRING}}
    assert object_schema(schema) == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
        "required": ["value"],
        "$defs": {"A": STRING},
    }


def test_references_follow_rfc_6901():
    root = {"$defs": {"a/b~c": {"x": [{"y": 1}]}}}
    assert find(root, "#/$defs/a~1b~0c/x/0/y") == 1
    assert find(root, "#/%24defs/a~1b~0c/x/0") == {"y": 1}
    assert find(root, "#") is root
    assert [find(root, where) for where in ("#/nowhere", "#/$defs/a~1b~0c/x/7", "other.json#/a")] == [{}, {}, {}]


def test_json_schema_loses_nothing_but_the_dialect():
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "$defs": {}, "x-own": 1}
    assert to_json_schema(schema) == {"type": "object", "$defs": {}, "x-own": 1}


# --- OpenAPI → JSON Schema -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("openapi", "plain"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        ({"nullable": False, "type": "BOOLEAN"}, {"type": "boolean"}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
        ),
        ({"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "2"}, {
            "type": "array", "items": {"type": "number"}, "minItems": 2,
        }),
        ({"any_of": [{"type": "STRING"}], "max_items": 3}, {"anyOf": [{"type": "string"}], "maxItems": 3}),
        ({"type": "INTEGER", "enum": ["1", "2"]}, {"type": "integer", "enum": [1, 2]}),
        ({"type": "NUMBER", "enum": ["1.5", "nan"]}, {"type": "number", "enum": [1.5, "nan"]}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d"}, {"description": "d"}),
        ({"type": "STRING", "enum": None, "items": None, "default": None}, {"type": "string", "default": None}),
        ({"type": "STRING", "example": "x"}, {"type": "string", "examples": ["x"]}),
        ({"ref": "#/$defs/A", "defs": {"A": {"type": "STRING"}}}, {
            "$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}},
        }),
    ],
)  # fmt: skip
def test_openapi_words_become_json_schemas(openapi, plain):
    assert from_openapi(openapi) == plain


def test_members_named_like_keywords_stay_members():
    schema = {
        "type": "OBJECT",
        "properties": {name: {"type": "STRING"} for name in ("nullable", "type", "any_of", "example", "items")},
        "propertyOrdering": ["type"],
    }
    plain = from_openapi(schema)
    assert plain == {"type": "object", "properties": dict.fromkeys(schema["properties"], STRING)}


def test_json_schema_comes_out_the_same():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "format": "uri"},
            "b": {"const": 1},
            "c": {"$ref": "#/$defs/C"},
        },
        "additionalProperties": False,
        "required": ["a"],
        "$defs": {"C": {"enum": [1, None]}},
    }
    assert from_openapi(schema) == schema


# --- JSON Schema → OpenAPI -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "narrowed"),
    [
        ({"type": "string", "format": "uri", "pattern": "a"}, {"type": "STRING", "pattern": "a"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "d"}, {
            "type": "INTEGER", "nullable": True, "description": "d",
        }),
        ({"oneOf": [{"type": "integer"}, STRING, {"const": None}]}, {
            "anyOf": [{"type": "INTEGER", "nullable": True}, {"type": "STRING", "nullable": True}],
        }),
        ({"const": "x"}, {"type": "STRING", "enum": ["x"]}),
        ({"enum": ["a", "b", None, "a"]}, {"type": "STRING", "enum": ["a", "b"], "nullable": True}),
        ({"enum": ["", "all"]}, {"type": "STRING"}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER"}),
        ({"const": 1.5}, {"type": "NUMBER"}),
        ({"const": True}, {"type": "BOOLEAN"}),
        ({"type": "array"}, {"type": "ARRAY", "items": {}}),
        ({"items": STRING, "uniqueItems": True}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        ({"type": "array", "prefixItems": [STRING, {"type": "integer"}]}, {
            "type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
        }),
        ({"type": "number", "exclusiveMinimum": 0, "minimum": 1, "default": 2}, {
            "type": "NUMBER", "minimum": 1, "default": 2,
        }),
        ({"type": "object", "additionalProperties": STRING, "patternProperties": {"a": {}}}, {"type": "OBJECT"}),
        ({"type": "object", "properties": {"a": STRING}, "required": ["a", "b"]}, {
            "type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"],
        }),
        ({"properties": {"a": True}}, {"type": "OBJECT", "properties": {"a": {}}}),
        ({"type": "nonsense", "title": 5, "minItems": "x", "required": [[], {}, 1], "default": None}, {}),
    ],
)  # fmt: skip
def test_json_schema_is_narrowed(schema, narrowed):
    assert to_openapi(schema) == narrowed


def test_nothing_stands_beside_alternatives():
    schema = {
        "description": "d",
        "title": "t",
        "default": "x",
        "anyOf": [STRING, {"type": "object", "properties": {"a": STRING}}],
    }
    narrowed = to_openapi(schema)
    assert list(narrowed) == ["anyOf"]
    assert narrowed["anyOf"][0] == {"description": "d", "type": "STRING"}


def test_alternatives_beside_members_add_their_members():
    schema = {
        "type": "object",
        "properties": {"a": STRING},
        "required": ["a"],
        "anyOf": [{"properties": {"b": STRING}, "required": ["b"]}, {"properties": {"c": STRING}}],
    }
    assert to_openapi(schema) == {
        "type": "OBJECT",
        "properties": {name: {"type": "STRING"} for name in "bca"},
        "required": ["a"],
    }


def test_references_are_put_in_place():
    schema = {
        "properties": {"p": {"$ref": "#/$defs/P", "description": "own"}, "q": {"$ref": "#/$defs/Nowhere"}},
        "$defs": {"P": {"type": "object", "description": "theirs", "properties": {"k": {"const": "fixed"}}}},
    }
    assert to_openapi(schema)["properties"] == {
        "p": {
            "type": "OBJECT",
            "description": "own",
            "properties": {"k": {"type": "STRING", "enum": ["fixed"]}},
        },
        "q": {},
    }


def test_joined_schemas_demand_what_each_demands():
    schema = {
        "allOf": [
            {"$ref": "#/$defs/A"},
            {"allOf": [{"properties": {"b": STRING}}]},
            {"required": ["b"]},
            {"required": ["z"]},
        ],
        "$defs": {"A": {"type": "object", "properties": {"a": STRING}, "required": ["a"]}},
    }
    assert to_openapi(schema) == {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
        "required": ["a", "b"],
    }


TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/T"}, "right": {"$ref": "#/$defs/T"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, STRING]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/$defs/T", "$defs": {"T": TREE}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"type": "array", "items": {"$ref": "#"}},
    ],
)
def test_recursive_schemas_end(schema):
    narrowed = json.dumps(to_openapi(schema))
    assert "$ref" not in narrowed
    assert len(narrowed) < 1000
    assert object_schema(schema)["type"] == "object"


def fan(keyword: str) -> dict:
    """Return a schema whose references, put in place, are 300^12 schemas."""

    def level(number: int) -> dict:
        following = [{"$ref": f"#/$defs/{number + 1}"}] * 300
        if keyword == "properties":
            return {"type": "object", "properties": {f"p{place}": each for place, each in enumerate(following)}}
        return {keyword: following}

    return {"$ref": "#/$defs/0", "$defs": {str(number): level(number) for number in range(12)}}


def repeated(**what) -> dict:
    return {"properties": {f"p{place}": {"$ref": "#/$defs/a"} for place in range(5000)}, "$defs": {"a": what}}


def deep(levels: int) -> dict:
    schema: dict = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


HOSTILE = {
    "fan of members": fan("properties"),
    "fan of alternatives": fan("anyOf"),
    "fan of joins": fan("allOf"),
    "long description": repeated(description="x" * 900_000),
    "long enum": repeated(enum=[str(number) for number in range(90_000)]),
    "long default": repeated(default=[1] * 100_000),
    "unknown keywords": repeated(**{f"k{number}": 1 for number in range(50_000)}),
    "told to each alternative": {"description": "x" * 900_000, "anyOf": [STRING] * 5000},
    "clashing alternatives": {"properties": {}, "anyOf": [{"properties": {"a": {"const": n}}} for n in range(20_000)]},
    "deep": deep(300),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("convert", [to_openapi, object_schema, from_openapi])
def test_hostile_schemas_do_not_grow(name, convert):
    assert len(json.dumps(convert(HOSTILE[name]))) < 3_000_000
