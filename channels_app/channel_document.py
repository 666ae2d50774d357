"""Other spellings of a channel that people have in files and scripts → the names that Routex uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Written → ours. Where both stand, ours counts.
_ALIASES = {
    "baseUrl": "base_url",
    "apiKey": "api_key",
    "type": "provider",
    "name": "slug",
    "is_enabled": "enabled",
    "served_models": "models",
    "timeouts": "timeout_s",
}
_CREDENTIAL_ALIASES = {"apiKey": "api_key", "name": "slug"}
_PROVIDERS = {"google": "gemini", "custom": "openai-compatible"}
_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9._-]+")


def normalise_channel(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a channel's document with our names; values are not checked here."""
    ours = _rename(document, _ALIASES)
    if "type" in document and isinstance(document["type"], str):
        ours["provider"] = _PROVIDERS.get(ours["provider"], ours["provider"])
    if "slug" not in document and isinstance(ours.get("slug"), str):
        ours["slug"] = _slug(ours["slug"])
    status = ours.pop("status", None)
    if status is not None:
        ours.setdefault("enabled", status == "enabled")
    if isinstance(ours.get("credentials"), list):
        ours["credentials"] = [
            _rename(entry, _CREDENTIAL_ALIASES) if isinstance(entry, Mapping) else entry
            for entry in ours["credentials"]
        ]
    return ours


def _rename(document: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    ours = {name: value for name, value in document.items() if name not in aliases}
    for written, name in aliases.items():
        if written in document:
            ours.setdefault(name, document[written])
    return ours


def _slug(name: str) -> str:
    return _NOT_IN_A_SLUG.sub("-", name.lower()).strip("-._")
