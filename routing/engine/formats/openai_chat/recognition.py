"""Whether a body is a Chat Completions request whatever path it came to: by what no other format's request has."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.wirejson import decode

_BODY = msgspec.json.Decoder(dict[str, Any])
# Tuples, for what is looked for in them may be anything.
_ROLES = ("tool", "function", "developer")
_MEMBERS = ("tool_calls", "function_call", "tool_call_id")
_PARTS = ("image_url", "input_audio", "file", "refusal")


def is_chat_request(body: bytes) -> bool:
    """Return whether a body can be nothing but a Chat Completions request; False for one that may be another's too."""
    try:
        said = decode(_BODY, body)
    except (ValueError, RecursionError):
        return False
    messages = _objects(said.get("messages"))
    # A system message elsewhere may be one that a conversation came to later; formats with a member for it have those.
    is_led = bool(messages) and messages[0].get("role") == "system" and "system" not in said
    return is_led or any(map(_is_message, messages)) or any(map(_is_tool, _objects(said.get("tools"))))


def _is_message(message: dict[str, Any]) -> bool:
    kinds = [part.get("type") for part in _objects(message.get("content"))]
    return (
        message.get("role") in _ROLES
        or any(message.get(name) for name in _MEMBERS)
        or any(kind in _PARTS for kind in kinds)
    )


def _is_tool(tool: dict[str, Any]) -> bool:
    return tool.get("type") == "function" and isinstance(tool.get("function"), dict)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
