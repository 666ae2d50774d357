"""JSON Schema and Google's OpenAPI subset of it, there and back."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

#: How deep `$ref`s are followed; a recursive schema ends here as an object without more said about it.
MAX_DEPTH = 12
#: The most nodes that a schema may grow to while `$ref`s are put in place.
MAX_NODES = 20_000

#: Keywords of the OpenAPI subset that are copied as they are.
_KEPT = (
    "title",
    "description",
    "default",
    "example",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "required",
    "propertyOrdering",
)
_FORMATS = {
    "string": {"date-time", "enum", "byte", "date", "time", "duration"},
    "number": {"float", "double"},
    "integer": {"int32", "int64"},
}
#: Members that hold schemas by name, schemas, and counts.
_NAMED = frozenset({"properties", "$defs", "defs", "definitions", "patternProperties"})
_NESTED = frozenset({"items", "anyOf", "oneOf", "allOf", "not", "additionalProperties", "prefixItems"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_OPENAPI_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}


def object_schema(schema: Schema | None) -> Schema:
    """Return a schema whose root is an object, as every function's parameters must be."""
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object":
        return schema
    if "type" not in schema and not any(key in schema for key in ("anyOf", "oneOf", "allOf", "$ref")):
        return {"type": "object", **schema}
    if schema.get("type") is None:
        return {"type": "object", **schema}
    return {"type": "object", "properties": {"value": schema}, "required": ["value"]}


def from_openapi(schema: Any, depth: int = 0) -> Any:
    """Return the JSON Schema of an OpenAPI schema: types in lower case, `nullable` as a type.

    A schema that is JSON Schema already comes out the same.
    """
    if isinstance(schema, list):
        return [from_openapi(each, depth + 1) for each in schema]
    if not isinstance(schema, dict) or depth > 4 * MAX_DEPTH:
        return schema
    plain: Schema = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            named = {name: from_openapi(each, depth + 1) for name, each in value.items()}
            plain["$defs" if key == "defs" else key] = named
        elif key in _NESTED:
            plain[key] = from_openapi(value, depth + 1)
        elif key in _COUNTS and isinstance(value, str) and value.isdigit():
            plain[key] = int(value)  # int64 travels as a string in Google's JSON
        elif key not in {"nullable", "propertyOrdering"}:
            plain[key] = value
    _plain_type(schema, plain)
    return plain


def _plain_type(schema: Schema, plain: Schema) -> None:
    kind = plain.get("type")
    if isinstance(kind, str) and kind in _OPENAPI_TYPES:
        plain["type"] = kind = kind.lower()
    if schema.get("nullable") is True and isinstance(kind, str) and kind != "null":
        plain["type"] = [kind, "null"]
        if isinstance(plain.get("enum"), list) and None not in plain["enum"]:
            plain["enum"] = [*plain["enum"], None]


def to_json_schema(schema: Schema) -> Schema:
    """Return a schema for `parametersJsonSchema`: as it is, less the dialect's name."""
    return {key: value for key, value in schema.items() if key != "$schema"}


def to_openapi(schema: Schema) -> Schema:
    """Return the nearest schema of the OpenAPI subset; ends on any input, recursive ones included."""
    return _Narrowing(schema).narrow(schema, ())


class _Narrowing:
    """One schema on its way into the subset: `$ref`s are put in place, what the subset lacks is left out."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._nodes = 0

    def narrow(self, schema: Any, path: tuple[str, ...]) -> Schema:
        self._nodes += 1
        if not isinstance(schema, dict) or self._nodes > MAX_NODES or len(path) > 4 * MAX_DEPTH:
            return {"type": "object"} if isinstance(schema, dict) else {}
        if isinstance(reference := schema.get("$ref"), str):
            if path.count(reference) or sum(step.startswith("#") for step in path) >= MAX_DEPTH:
                return {"type": "object"}
            target = self._find(reference)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.narrow({**(target if isinstance(target, dict) else {}), **rest}, (*path, reference))
        if isinstance(parts := schema.get("allOf"), list):
            schema = _all_of(schema, [self._resolved(part) for part in parts])
        narrowed: Schema = {key: schema[key] for key in _KEPT if key in schema}
        self._type(schema, narrowed)
        self._enum(schema, narrowed)
        self._unions(schema, narrowed, path)
        self._members(schema, narrowed, path)
        _tidy(schema, narrowed)
        return narrowed

    def _find(self, reference: str) -> Any:
        """Return what a local reference (`#/$defs/Name`) points at (RFC 6901)."""
        if not reference.startswith("#"):
            return {}
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return {}
            found = found[name]
        return found

    def _resolved(self, part: Any) -> Any:
        if isinstance(part, dict) and isinstance(reference := part.get("$ref"), str):
            return self._find(reference)
        return part

    @staticmethod
    def _type(schema: Schema, narrowed: Schema) -> None:
        kind = schema.get("type")
        if isinstance(kind, list):
            others = [each for each in kind if each != "null"]
            if len(others) < len(kind):
                narrowed["nullable"] = True
            if len(others) == 1:
                narrowed["type"] = others[0]
            elif others:
                narrowed["anyOf"] = [{"type": each} for each in others]
        elif isinstance(kind, str):
            narrowed["type"] = kind
        if schema.get("nullable") is True:
            narrowed["nullable"] = True

    @staticmethod
    def _enum(schema: Schema, narrowed: Schema) -> None:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return
        if None in values:
            narrowed["nullable"] = True
        # The subset's enum is of strings only; numbers keep their type and lose the list.
        words = [value for value in values if isinstance(value, str)]
        if words:
            narrowed["enum"] = words
            narrowed["type"] = "string"
        elif "type" not in narrowed and values:
            narrowed["type"] = _type_of(values[0])

    def _unions(self, schema: Schema, narrowed: Schema, path: tuple[str, ...]) -> None:
        union = schema.get("anyOf") or schema.get("oneOf")
        if not isinstance(union, list):
            return
        branches = [branch for branch in union if not (isinstance(branch, dict) and branch.get("type") == "null")]
        if len(branches) < len(union):
            narrowed["nullable"] = True
        plain = [self.narrow(branch, (*path, "anyOf")) for branch in branches]
        if len(plain) == 1:
            for key, value in plain[0].items():
                narrowed.setdefault(key, value)
        elif plain:
            narrowed["anyOf"] = plain

    def _members(self, schema: Schema, narrowed: Schema, path: tuple[str, ...]) -> None:
        if isinstance(members := schema.get("properties"), dict):
            narrowed["properties"] = {name: self.narrow(each, (*path, name)) for name, each in members.items()}
            narrowed.setdefault("type", "object")
        items = schema.get("items", schema.get("prefixItems"))
        if isinstance(items, list):
            items = {"anyOf": items} if items else {}
        if isinstance(items, dict):
            narrowed["items"] = self.narrow(items, (*path, "items"))
            narrowed.setdefault("type", "array")
        kind = schema.get("format")
        if kind in _FORMATS.get(str(narrowed.get("type")), ()):
            narrowed["format"] = kind


def _all_of(schema: Schema, parts: list[Any]) -> Schema:
    """Return one schema for `allOf`: members and requirements of all, later words over earlier ones."""
    merged: Schema = {}
    for part in [*parts, {key: value for key, value in schema.items() if key != "allOf"}]:
        if not isinstance(part, dict):
            continue
        members = {**merged.get("properties", {}), **(part.get("properties") or {})}
        required = [*merged.get("required", []), *(part.get("required") or [])]
        merged |= part
        if members:
            merged["properties"] = members
        if required:
            merged["required"] = list(dict.fromkeys(required))
    return merged


def _tidy(schema: Schema, narrowed: Schema) -> None:
    """Leave out what the subset would refuse for being beside the point."""
    if narrowed.get("type") == "array":
        narrowed.setdefault("items", {})
    required = narrowed.get("required")
    if required is not None:
        known = narrowed.get("properties")
        kept = [name for name in required if isinstance(known, dict) and name in known] if required else []
        if kept:
            narrowed["required"] = kept
        else:
            del narrowed["required"]
    if narrowed.get("default", 0) is None:
        del narrowed["default"]


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"
