"""Google's OpenAPI subset of JSON Schema, there and back."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from routing.engine.schema import (
    MAX_BRANCHES,
    MAX_DEPTH,
    MAX_REFS,
    UNIONS,
    Schema,
    find,
    is_null,
    is_number,
    members_of,
    merged,
    names,
)

#: The most that a schema may grow to while `$ref`s are put in place, in nodes and characters.
MAX_SIZE = 1_000_000
#: What a node weighs beside its characters.
_NODE_SIZE = 50

_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
#: Keywords of the OpenAPI subset that are copied as they are, by the type of their value.
_TEXTS = ("title", "description", "pattern")
_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_BOUNDS = ("minimum", "maximum")
_VALUES = ("default", "example")
_FORMATS = {
    "STRING": {"date-time", "enum"},
    "NUMBER": {"float", "double"},
    "INTEGER": {"int32", "int64"},
}
#: Keywords that hold schemas by name, and schemas.
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_NESTED = frozenset({"items", "anyOf", "oneOf", "allOf", "not", "additionalProperties", "prefixItems"})
#: Keywords of the subset in its other spellings, and those that JSON Schema calls otherwise.
_PLAIN_NAMES = {
    "any_of": "anyOf",
    "one_of": "oneOf",
    "all_of": "allOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "min_length": "minLength",
    "max_length": "maxLength",
    "additional_properties": "additionalProperties",
    "prefix_items": "prefixItems",
    "defs": "$defs",
    "ref": "$ref",
}
_NOT_PLAIN = frozenset({"nullable", "propertyOrdering", "property_ordering", "example"})
#: Keywords that say something with null; of all others null says that they are absent.
_MAY_BE_NULL = frozenset({"default", "const"})
_encode = msgspec.json.Encoder().encode


def is_openapi(schema: Any, depth: int = 0) -> bool:
    """Whether a schema that should be JSON Schema is written in OpenAPI's words: types in capitals, `nullable`."""
    if isinstance(schema, list):
        return any(is_openapi(each, depth + 1) for each in schema)
    if not isinstance(schema, dict) or depth > 2 * MAX_DEPTH:
        return False
    kind = schema.get("type")
    if schema.get("nullable") is True or (isinstance(kind, str) and kind.isupper() and kind.lower() in _TYPES):
        return True
    for key, value in schema.items():
        inner = list(value.values()) if key in _NAMED and isinstance(value, dict) else value
        if (key in _NAMED or key in _NESTED) and is_openapi(inner, depth + 1):
            return True
    return False


def plain_schema(schema: Schema | None) -> Schema | None:
    """Return a client's schema, which should be JSON Schema: one in OpenAPI's words is put into those."""
    if schema is None or not is_openapi(schema):
        return schema
    plain: Schema = from_openapi(schema)
    return plain


def from_openapi(schema: Any, depth: int = 0) -> Any:
    """Return the JSON Schema of an OpenAPI schema: types in lower case, `nullable` as a type.

    A schema that is JSON Schema already comes out the same.
    """
    if isinstance(schema, list):
        return [from_openapi(each, depth + 1) for each in schema]
    if not isinstance(schema, dict) or depth > 2 * MAX_DEPTH:
        return schema
    plain: Schema = {}
    for own, value in schema.items():
        key = _PLAIN_NAMES.get(str(own), str(own))
        if key in _NOT_PLAIN or (value is None and key not in _MAY_BE_NULL):
            continue
        if key in _NAMED and isinstance(value, dict):
            plain[key] = {name: from_openapi(each, depth + 1) for name, each in value.items()}
        elif key in _NESTED:
            plain[key] = from_openapi(value, depth + 1)
        elif key in _COUNTS and isinstance(value, str) and value.isdigit():
            plain[key] = int(value[:18])  # int64 travels as a string in Google's JSON
        else:
            plain[key] = value
    if "example" in schema:
        plain.setdefault("examples", [schema["example"]])
    _plain_type(plain)
    if schema.get("nullable") is True:
        _allow_null(plain)
    return plain


def _plain_type(plain: Schema) -> None:
    kind = plain.get("type")
    if isinstance(kind, list):
        plain["type"] = [each.lower() if isinstance(each, str) else each for each in kind]
    elif isinstance(kind, str) and kind.lower() in _TYPES:
        plain["type"] = kind.lower()
    elif isinstance(kind, str) or ("type" in plain and kind is None):
        del plain["type"]  # TYPE_UNSPECIFIED
    if plain.get("type") in ("integer", "number") and isinstance(plain.get("enum"), list):
        plain["enum"] = [_number(value) for value in plain["enum"]]


def _allow_null(plain: Schema) -> None:
    kind = plain.get("type")
    if isinstance(kind, str) and kind != "null":
        plain["type"] = [kind, "null"]
    elif isinstance(kind, list) and "null" not in kind:
        plain["type"] = [*kind, "null"]
    if kind is None and isinstance(union := plain.get("anyOf"), list) and not any(map(is_null, union)):
        plain["anyOf"] = [*union, {"type": "null"}]
    if isinstance(values := plain.get("enum"), list) and None not in values:
        plain["enum"] = [*values, None]


def _number(value: Any) -> Any:
    """Return the number that Google's enum, a list of strings, spells."""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                number = kind(value)
            except ValueError:
                continue
            return number if math.isfinite(number) else value
    return value


def to_openapi(schema: Schema) -> Schema:
    """Return the nearest schema of the OpenAPI subset; ends on any input, recursive ones included."""
    return _Narrowing(schema).narrow(schema, (), 0)


class _Narrowing:
    """One schema on its way into the subset: `$ref`s are put in place, what the subset lacks is left out."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._size = 0
        self._sizes: dict[int, tuple[Any, int]] = {}

    def narrow(self, schema: Any, refs: tuple[str, ...], depth: int) -> Schema:
        self._size += _NODE_SIZE
        if not isinstance(schema, dict):
            return {}
        if self._size > MAX_SIZE or depth > MAX_DEPTH:
            return {"type": "OBJECT"}
        if isinstance(reference := schema.get("$ref"), str):
            if reference in refs or len(refs) >= MAX_REFS:
                return {"type": "OBJECT"}
            beside = {key: schema[key] for key in ("title", "description", "default", "nullable") if key in schema}
            target = self.narrow(find(self._root, reference), (*refs, reference), depth + 1)
            return _tidied({**target, **self._kept(beside)})
        if any(isinstance(schema.get(key), list) for key in ("allOf", *UNIONS)):
            return self._combined(schema, refs, depth)
        narrowed = self._kept(schema)
        self._enum(schema, narrowed)
        self._members(schema, narrowed, refs, depth)
        return _tidied(narrowed)

    def _kept(self, schema: Schema) -> Schema:
        """Return what the subset takes as it is, each of the type that it wants there."""
        kept: Schema = {key: schema[key] for key in _TEXTS if isinstance(schema.get(key), str)}
        for key in _COUNTS:
            if is_number(value := schema.get(key)) and value >= 0 and (isinstance(value, int) or value.is_integer()):
                kept[key] = int(value)
        kept |= {key: schema[key] for key in _BOUNDS if is_number(schema.get(key))}
        kept |= {key: schema[key] for key in _VALUES if schema.get(key) is not None}
        if ordering := names(schema.get("propertyOrdering")):
            kept["propertyOrdering"] = ordering
        if schema.get("nullable") is True:
            kept["nullable"] = True
        self._size += sum(self._weight(value) for value in kept.values())
        if self._size > MAX_SIZE:
            kept = {}
        return self._typed(schema.get("type"), kept)

    def _weight(self, value: Any) -> int:
        """Return the size of a value that a hostile schema may repeat with each `$ref`."""
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, dict | list):
            return 1
        if id(value) not in self._sizes:
            self._sizes[id(value)] = (value, len(_encode(value)))  # held, so that its id stays its own
        return self._sizes[id(value)][1]

    def _typed(self, kind: Any, kept: Schema) -> Schema:
        kinds = [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []
        known = list(dict.fromkeys(each for each in kinds if isinstance(each, str) and each.lower() in _TYPES))
        others = [each.upper() for each in known if each.lower() != "null"]
        if len(others) < len(known):
            kept["nullable"] = True
        if len(others) == 1:
            kept["type"] = others[0]
        elif others:
            kept["anyOf"] = [{"type": each} | ({"items": {}} if each == "ARRAY" else {}) for each in others]
        return kept

    def _enum(self, schema: Schema, narrowed: Schema) -> None:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list) or not values:
            return
        self._size += self._weight(values)
        if self._size > MAX_SIZE:
            return
        if None in values:
            narrowed["nullable"] = True
        # The subset's enum is of strings only; numbers keep their type and lose the list. So does the empty string,
        # which is refused: a list without it would forbid what the tool takes.
        words = list(dict.fromkeys(value for value in values if isinstance(value, str)))
        if "" in words:
            narrowed["type"] = "STRING"
        elif words:
            narrowed.pop("anyOf", None)
            narrowed["enum"] = words
            narrowed["type"] = "STRING"
        elif "type" not in narrowed and "anyOf" not in narrowed:
            narrowed["type"] = _type_of(next((value for value in values if value is not None), ""))

    def _combined(self, schema: Schema, refs: tuple[str, ...], depth: int) -> Schema:
        """Return one schema for those that are joined by `allOf`, `anyOf` or `oneOf`."""
        parts: list[Schema] = []
        refs = self._flatten(schema, refs, depth, parts)
        whole = merged(parts)
        base = self.narrow({key: value for key, value in whole.items() if key not in UNIONS}, refs, depth + 1)
        for keyword in UNIONS:
            if isinstance(union := whole.get(keyword), list):
                base = self._united(base, union, refs, depth)
        return _tidied(base)

    def _flatten(self, schema: Any, refs: tuple[str, ...], depth: int, parts: list[Schema]) -> tuple[str, ...]:
        """Collect the schemas that `allOf` joins, references followed; return the references that were."""
        if not isinstance(schema, dict) or self._size > MAX_SIZE or depth > MAX_DEPTH:
            return refs
        self._size += _NODE_SIZE * (1 + len(schema) + len(members_of(schema)))
        if isinstance(reference := schema.get("$ref"), str) and reference not in refs and len(refs) < MAX_REFS:
            refs = self._flatten(find(self._root, reference), (*refs, reference), depth + 1, parts)
        if isinstance(joined := schema.get("allOf"), list):
            for part in joined:
                refs = self._flatten(part, refs, depth + 1, parts)
        parts.append({key: value for key, value in schema.items() if key not in ("allOf", "$ref")})
        return refs

    def _united(self, base: Schema, union: list[Any], refs: tuple[str, ...], depth: int) -> Schema:
        branches = [self.narrow(branch, refs, depth + 1) for branch in union if not is_null(branch)]
        if len(branches) < len(union):
            base["nullable"] = True
        branches = [branch for branch in branches if branch]
        if "properties" in base:
            # Alternatives beside members: the subset has no place for both.
            objects = [each for each in branches if "properties" in each][:MAX_BRANCHES]
            return merged([{"properties": merged(objects, demands_all=False).get("properties", {})}, base])
        if len(branches) == 1:
            return {**branches[0], **base}
        if len(branches) < 2:
            return base
        return {**base, "anyOf": branches}

    def _members(self, schema: Schema, narrowed: Schema, refs: tuple[str, ...], depth: int) -> None:
        if isinstance(members := schema.get("properties"), dict):
            narrowed["properties"] = {name: self.narrow(each, refs, depth + 1) for name, each in members.items()}
            narrowed.setdefault("type", "OBJECT")
        if required := schema.get("required"):
            self._size += self._weight(required)
            narrowed["required"] = names(required)
        items = schema.get("items", schema.get("prefixItems"))
        if isinstance(items, list):
            items = {"anyOf": items} if items else {}
        if isinstance(items, dict):
            narrowed["items"] = self.narrow(items, refs, depth + 1)
            narrowed.setdefault("type", "ARRAY")
        kind = schema.get("format")
        if isinstance(kind, str) and kind in _FORMATS.get(str(narrowed.get("type")), ()):
            narrowed["format"] = kind


def _tidied(narrowed: Schema) -> Schema:
    """Leave out what the subset would refuse for being beside the point."""
    if narrowed.get("type") == "ARRAY":
        narrowed.setdefault("items", {})
    if "anyOf" in narrowed and len(narrowed) > 1:
        # Nothing may stand beside `anyOf`: null is allowed in each of them, the description is told with the first.
        branches = narrowed["anyOf"]
        if narrowed.get("nullable"):
            branches = [{**branch, "nullable": True} for branch in branches]
        if "description" in narrowed:
            branches = [{"description": narrowed["description"], **branches[0]}, *branches[1:]]
        return {"anyOf": branches}
    for key in ("required", "propertyOrdering"):
        if key in narrowed:
            known = narrowed.get("properties", {})
            narrowed[key] = [name for name in narrowed[key] if name in known]
            if not narrowed[key]:
                del narrowed[key]
    return narrowed


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INTEGER"
    return "NUMBER" if isinstance(value, float) else "STRING"
