"""Form fields for the lists and tables that are stored as JSON: one entry a line instead of brackets and quotes."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from tenants.engine.networks import network_of, written


class LinesField(forms.Field):
    """A list of texts, one a line."""

    def __init__(self, *, rows: int = 3, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"}), **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the stored list as lines; what a person typed stays as it is."""
        return "\n".join(self.line_of(entry) for entry in value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[Any]:
        """Return the lines as a list."""
        return [self.entry_of(line.strip()) for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the list is another one."""
        try:
            return list(initial or []) != self.to_python(data)
        except forms.ValidationError:
            return True

    def line_of(self, entry: Any) -> str:
        """Return one entry as a line."""
        return str(entry)

    def entry_of(self, line: str) -> Any:
        """Return one line as an entry.

        Raises:
            ValidationError: the line is no entry.
        """
        return line


class JsonLinesField(LinesField):
    """A list of texts or objects, one a line: an object as JSON, everything else as it stands."""

    def line_of(self, entry: Any) -> str:
        """Return one entry as a line."""
        return entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)

    def entry_of(self, line: str) -> Any:
        """Return one line as an entry."""
        if not line.startswith("{"):
            return line
        try:
            return json.loads(line)
        except ValueError:
            raise forms.ValidationError(f"This line starts with a brace but is no JSON object: {line}") from None


class ServedModelsField(JsonLinesField):
    """Models that a channel serves: `name`, or `public name = upstream name`."""

    def line_of(self, entry: Any) -> str:
        """Return one entry as a line."""
        if isinstance(entry, dict) and set(entry) == {"name", "upstream"}:
            return f"{entry['name']} = {entry['upstream']}"
        return super().line_of(entry)

    def entry_of(self, line: str) -> Any:
        """Return one line as an entry."""
        public, separator, upstream = line.partition(" = ")
        if separator and not line.startswith("{"):
            return {"name": public.strip(), "upstream": upstream.strip()}
        return super().entry_of(line)


class NetworksField(LinesField):
    """Address ranges, one a line."""

    def entry_of(self, line: str) -> str:
        """Return the range as Python writes it."""
        try:
            return str(ipaddress.ip_network(line, strict=False))
        except ValueError:
            raise forms.ValidationError(f"{line} is not an address range such as 10.0.0.0/8.") from None


class KeyNetworksField(LinesField):
    """Networks and single addresses, one a line."""

    def entry_of(self, line: str) -> str:
        """Return the network in the form in which it is stored."""
        try:
            return written(network_of(line))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class PairsField(forms.Field):
    """A table of texts, one `name=value` a line."""

    def __init__(self, *, rows: int = 2, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"}), **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the stored table as lines; what a person typed stays as it is."""
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> dict[str, str]:
        """Return the lines as a table."""
        pairs: dict[str, str] = {}
        for line in (value or "").splitlines():
            name, separator, text = line.partition("=")
            if line.strip() and not separator:
                raise forms.ValidationError(f"{line} is not of the form name=value.")
            if name.strip():
                pairs[name.strip()] = text.strip()
        return pairs

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the table is another one."""
        try:
            return dict(initial or {}) != self.to_python(data)
        except forms.ValidationError:
            return True
