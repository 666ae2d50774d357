"""Arguments for a tool that nobody thought about: type-correct and as few as its JSON schema allows."""

from __future__ import annotations

from typing import Any

#: Schemas may refer to themselves or ask for huge arrays; both bounds keep a hostile one cheap.
_MAX_DEPTH = 8
_MAX_VALUES = 200


def dummy_arguments(schema: Any) -> dict[str, Any]:
    """Return an object that holds the required properties of the schema; `{}` for a schema that is none."""
    value = _Dummy(schema).value(schema)
    return value if isinstance(value, dict) else {}


class _Dummy:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MAX_VALUES

    def value(self, schema: Any, depth: int = 0) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._left < 0:
            return None
        if "const" in schema:
            return schema["const"]
        for key in ("enum", "anyOf", "oneOf", "allOf"):
            choices = schema.get(key)
            if isinstance(choices, list) and choices:
                return choices[0] if key == "enum" else self.value(choices[0], depth + 1)
        if "$ref" in schema:
            return self.value(self._referred(schema["$ref"]), depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        # The OpenAPI flavour of schemas writes types in capitals.
        match str(kind).lower():
            case "object":
                return self._object(schema, depth)
            case "array":
                least = schema.get("minItems")
                count = min(least, _MAX_VALUES) if isinstance(least, int) else 0
                return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]
            case "integer" | "number":
                least = schema.get("minimum")
                return least if isinstance(least, int) else 1
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return "text"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return {}
        names = [name for name in required if isinstance(name, str)]
        return {name: self.value(properties.get(name, {}), depth + 1) for name in names[:_MAX_VALUES]}

    def _referred(self, reference: Any) -> Any:
        """Follow a reference inside the schema: `#/$defs/Place`."""
        found = self._root
        for step in str(reference).removeprefix("#").split("/"):
            if step and isinstance(found, dict):
                found = found.get(step)
        return found
