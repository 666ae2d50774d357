"""What the declaration of a tool says to its own format only, told as lost where another one takes its place."""

from __future__ import annotations

from typing import Any

from routing.engine.codec import UpstreamCodec
from routing.engine.losses import Losses
from routing.engine.messages import Tool

#: What a client may want of a web search (fields of `Search`), and its name in every client's format.
_WISHES = {
    "context_size": "search_context_size",
    "place": "user_location",
    "allowed_domains": "allowed_domains",
    "blocked_domains": "blocked_domains",
}
#: Members of a function that change what the model makes of it, and their values that do not. The others are about how
#: it is sent, or when it is read.
_MEMBERS: dict[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"],),
    "behavior": ("UNSPECIFIED", "BLOCKING"),
    "input_examples": (),
    "response": (),
    "responseJsonSchema": (),
}
_UNSAID: tuple[Any, ...] = (None, "", [], {})


def note_search(tool: Tool, codec: UpstreamCodec, losses: Losses) -> None:
    """Note which wishes about a web search its stand-in in another format cannot be told."""
    for field, name in _WISHES.items():
        if field not in codec.searches and getattr(tool.search, field, None):
            losses.dropped(name)
    if isinstance(tool.native, dict) and tool.native.get("max_uses"):
        losses.dropped("max_uses")


def note_members(tool: Tool, losses: Losses) -> None:
    """Note which members of a function another format has no place for."""
    if not isinstance(tool.native, dict):
        return
    for name, usual in _MEMBERS.items():
        value = tool.native.get(name)
        if value not in _UNSAID and value not in usual:
            losses.dropped(name)
