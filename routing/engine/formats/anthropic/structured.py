"""JSON Schemas of answers, within what the format can hold a model to."""

from __future__ import annotations

from typing import Any

from routing.engine.schema import MAX_DEPTH, Schema

#: Keywords that the model is held to; the others are told in the description instead
#: (https://docs.claude.com/en/docs/build-with-claude/structured-outputs).
_HELD = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
        "format",
        "items",
        "properties",
        "required",
        "title",
        "type",
    }
)
_SILENT = frozenset({"$schema", "$id", "$comment", "examples"})
_NAMED = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")


def closed(schema: Schema) -> tuple[Schema, bool]:
    """Return the schema with every object closed, and whether something had to be moved into the descriptions."""
    closing = _Closing()
    return closing.close(schema), closing.has_moved


class _Closing:
    def __init__(self) -> None:
        self.has_moved = False

    def close(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict) or depth > 4 * MAX_DEPTH:
            return schema
        held: Schema = {}
        said = []
        for key, value in schema.items():
            name = "anyOf" if key == "oneOf" else key
            if name in _NAMED and isinstance(value, dict):
                held[name] = {each: self.close(inner, depth + 1) for each, inner in value.items()}
            elif name in _LISTS and isinstance(value, list):
                held[name] = [self.close(each, depth + 1) for each in value]
            elif name == "items":
                held[name] = self.close(value, depth + 1)
            elif _is_held(name, value):
                held[name] = value
            elif name not in _SILENT:
                said.append(f"{name}: {value}")
        if held.get("type") == "object" or "properties" in held:
            held["additionalProperties"] = False
        if said:
            self.has_moved = True
            held["description"] = "\n\n".join(filter(None, (held.get("description"), f"({', '.join(said)})")))
        return held


def _is_held(name: str, value: Any) -> bool:
    if name == "minItems":
        return value in (0, 1)
    return name in _HELD and (name != "format" or value in _FORMATS)
