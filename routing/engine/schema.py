"""JSON Schema as tools need it: an object at the root, and what several schemas say at once."""

from __future__ import annotations

from typing import Any, TypeGuard
from urllib.parse import unquote

Schema = dict[str, Any]

#: How many `$ref`s deep a schema is followed; a recursive one ends here as an object about which no more is said.
MAX_REFS = 12
#: How deep schemas may lie in one another.
MAX_DEPTH = 48
#: How many alternatives are made one object, and how many members that may look at.
MAX_BRANCHES = 48
MAX_MEMBERS = 20_000
UNIONS = ("anyOf", "oneOf")


def object_schema(schema: Schema | None) -> Schema:
    """Return a schema whose root is an object without unions, as every function's parameters must be.

    Alternatives at the root become one object that has the members of all, and demands what all of them demand.
    """
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and not any(key in schema for key in (*UNIONS, "allOf", "$ref")):
        return schema
    flat = _Flattening(schema).flat(schema, MAX_REFS)
    kind = flat.get("type")
    if kind == "object":
        return flat
    if (kind is None and "enum" not in flat) or (isinstance(kind, list) and "object" in kind):
        return {**flat, "type": "object"}
    definitions: Schema = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    value = {key: each for key, each in schema.items() if key not in definitions}
    return {"type": "object", "properties": {"value": value}, "required": ["value"], **definitions}


class _Flattening:
    """One schema on its way to an object: references at its root followed, alternatives that are objects made one."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._size = 0

    def flat(self, schema: Any, depth: int) -> Schema:
        if not isinstance(schema, dict) or depth <= 0 or self._size > MAX_MEMBERS:
            return {}
        self._size += 1 + len(schema) + len(members_of(schema))
        if isinstance(reference := schema.get("$ref"), str):
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return {**self.flat(find(self._root, reference), depth - 1), **rest}
        own = {key: value for key, value in schema.items() if key not in (*UNIONS, "allOf")}
        if isinstance(parts := schema.get("allOf"), list):
            own = merged([*(self.flat(part, depth - 1) for part in parts[:MAX_BRANCHES]), own])
        for keyword in UNIONS:
            if not isinstance(union := schema.get(keyword), list):
                continue
            branches = [self.flat(branch, depth - 1) for branch in union[:MAX_BRANCHES] if not is_null(branch)]
            if not branches or not (_is_object(own) or all(map(_is_object, branches))):
                return schema
            alternatives = merged(branches, demands_all=False)
            own = merged([{key: alternatives[key] for key in ("properties", "required") if key in alternatives}, own])
            own["type"] = "object"
        return own


def merged(schemas: list[Schema], *, demands_all: bool = True) -> Schema:
    """Return one schema that has the members of all; later words stand over earlier ones.

    It demands what any of them demands, or only what all do (alternatives).
    """
    one: Schema = {}
    members: Schema = {}
    demanded: dict[str, int] = {}
    for schema in schemas:
        for name, member in members_of(schema).items():
            members[name] = member if demands_all or name not in members else _either(members[name], member)
        for name in names(schema.get("required")):
            demanded[name] = demanded.get(name, 0) + 1
        one |= schema
    required = [name for name, count in demanded.items() if demands_all or count == len(schemas)]
    one.pop("required", None)
    return one | ({"properties": members} if members else {}) | ({"required": required} if required else {})


def _either(one: Any, other: Any) -> Any:
    if one == other:
        return one
    known = one["anyOf"] if isinstance(one, dict) and list(one) == ["anyOf"] else [one]
    return {"anyOf": known if other in known else [*known, other]}


def find(root: Any, reference: str) -> Any:
    """Return what a local reference (`#/$defs/Name`, RFC 6901) points at, an empty schema when it points nowhere."""
    if not reference.startswith("#"):
        return {}
    found: Any = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdigit() and int(name[:9]) < len(found):
            found = found[int(name[:9])]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return {}
    return found


def to_json_schema(schema: Schema) -> Schema:
    """Return a schema for `parametersJsonSchema`: as it is, less the dialect's name."""
    return {key: value for key, value in schema.items() if key != "$schema"}


def is_null(schema: Any) -> bool:
    """Whether a schema takes nothing but null."""
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind in ("null", "NULL", ["null"]):
        return True
    return kind is None and (schema.get("enum") == [None] or ("const" in schema and schema["const"] is None))


def names(value: Any) -> list[str]:
    """Return the names in what should be a list of names, each once."""
    return list(dict.fromkeys(each for each in value if isinstance(each, str))) if isinstance(value, list) else []


def members_of(schema: Schema) -> Schema:
    """Return the properties of a schema, none where it has none."""
    members = schema.get("properties")
    return members if isinstance(members, dict) else {}


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(schema: Schema) -> bool:
    return schema.get("type") == "object" or isinstance(schema.get("properties"), dict)
