"""Random small things that conversations are made of: texts, JSON, names, ids, opaque blobs."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from hypothesis import strategies as st

_encode = msgspec.json.Encoder().encode

#: What has broken a parser, a splitter or a template somewhere.
ODD_TEXTS = (
    " ",
    "\n",
    "\r\n\r\n",
    "a\u2028b\u2029c\u0085d",
    "\x00",
    "\x7f\x1b[0m",
    "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "e\u0301 한국어 עברית",
    "\ud7ff\ue000\ufffd\uffff\U0010ffff",
    '"\\/\b\f\n\r\t',
    "\\ud83d",
    "\\u0000",
    "data: x\n\ndata: [DONE]\n\n",
    "[DONE]",
    "event: error\n\n",
    "</think>",
    '{"a":1}',
    "null",
    "rtx1:",
    "\ufeffbom",
    "x" * 300,
)
_LETTERS = st.characters(exclude_categories=("Cs",))

texts = st.one_of(
    st.text("abc XYZ.,\n", min_size=1, max_size=12), st.sampled_from(ODD_TEXTS), st.text(_LETTERS, max_size=8)
)
#: Upstreams refuse a text of nothing but blanks, so encoders may leave one out.
spoken = texts.filter(lambda text: bool(text.strip(" \n\r\t\x00\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029\xa0")))
line = st.text("abcdefgh ÄÖ中😀", min_size=1, max_size=10).filter(lambda text: text == text.strip())

tool_names = st.one_of(
    st.sampled_from(("get_weather", "Bash", "a", "mcp__fs__read-file")),
    st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True),
)
call_ids = st.one_of(st.from_regex(r"call_[a-z0-9]{8}", fullmatch=True), st.sampled_from(("toolu_01", "c-1", "x" * 40)))
blobs = st.binary(min_size=1, max_size=12).map(lambda raw: base64.b64encode(raw).decode())
urls = st.from_regex(r"https://[a-z]{1,8}\.example/[a-z0-9]{0,6}", fullmatch=True)
tokens = st.integers(0, 200_000)

_NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.sampled_from((0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.1, -0.0, 1e-300, 1.7976931348623157e308)),
)
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, texts)
json_values: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def nested(depth: int) -> dict[str, Any]:
    """Return an object in an object in an object."""
    value: dict[str, Any] = {"end": []}
    for _ in range(depth):
        value = {"a": [value]}
    return value


json_objects = st.one_of(
    st.dictionaries(st.sampled_from(("city", "unit", "path", "ключ")), json_values, max_size=3),
    st.sampled_from(({}, nested(3), nested(60))),
)
#: Arguments as a model writes them, whole and valid.
arguments = json_objects.map(lambda value: _encode(value).decode())
#: Arguments as a model may write them too: cut at a limit, with blanks, with numbers beyond 64 bits, or not JSON.
loose_arguments = st.one_of(
    arguments,
    st.sampled_from(
        (
            "",
            "{",
            '{"a": "b',
            '{ "a" : 1.0 }',
            '{"n":123456789012345678901234567890}',
            '{"x":1e400}',
            '{"s":"\\ud83d"}',
            "[1]",
            '"text"',
            "null",
            "not json",
            '{"a":1}{"a":2}',
            '{"a":1,"a":2}',
        )
    ),
)

_PLAIN_TYPES = st.sampled_from(("string", "integer", "number", "boolean"))
_LEAF_SCHEMAS = st.one_of(
    st.builds(lambda kind: {"type": kind}, _PLAIN_TYPES),
    st.builds(lambda said: {"type": "string", "description": said}, line),
    st.sampled_from(({"type": "string", "enum": ["c", "f"]}, {"type": "string", "minLength": 1, "maxLength": 9})),
)


def _object_schema(members: dict[str, Any]) -> dict[str, Any]:
    return (
        {"type": "object", "properties": members, "required": sorted(members)[:1]}
        if members
        else {"type": "object", "properties": {}}
    )


_NESTED_SCHEMAS = st.recursive(
    _LEAF_SCHEMAS,
    lambda inner: st.one_of(
        st.builds(lambda each: {"type": "array", "items": each}, inner),
        st.builds(_object_schema, st.dictionaries(st.sampled_from(("a", "b", "größe")), inner, max_size=2)),
        st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner),
    ),
    max_leaves=4,
)
#: A function's parameters: always an object at the root.
object_schemas = st.one_of(
    st.builds(_object_schema, st.dictionaries(st.sampled_from(("city", "unit", "n")), _NESTED_SCHEMAS, max_size=3)),
    st.just({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}),
)
