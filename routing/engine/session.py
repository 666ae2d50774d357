"""Which conversation a request belongs to: the first identifier that its client sends, else how it began."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from msgspec import Raw

from routing.engine.call import Call
from routing.engine.operations import is_count

#: Headers that carry a conversation's id, first hit wins. Those of agents count only for the client that means it so.
OWN_HEADERS = (b"x-routex-session-id", b"x-claude-code-session-id")
CODEX_HEADERS = (b"session-id", b"thread-id", b"session_id", b"conversation_id")
OTHER_HEADERS = (b"x-opencode-session", b"x-session-id")
#: A sub-agent has a conversation of its own within the session.
AGENT_HEADER = b"x-claude-code-agent-id"
MAX_CHARS = 200

#: Members that hold the system prompt and the turns, in the formats' own words.
_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction")
_TURNS = ("messages", "contents", "input")
#: How much of each is looked at: two conversations that agree so far may as well stay together.
_LOOKED_AT_BYTES = 64 * 1024
_scan = json.JSONDecoder().raw_decode


def session_id(headers: Mapping[bytes, bytes], hint: str) -> str:
    """Return the id that the client sends, or an empty string when the request names no conversation."""
    names: tuple[bytes, ...] = OWN_HEADERS
    if b"codex" in headers.get(b"user-agent", b"").lower():
        names += CODEX_HEADERS
    for name in names + OTHER_HEADERS:
        if value := headers.get(name):
            return value.decode("latin-1")[:MAX_CHARS]
    return hint[:MAX_CHARS]


def thread_of(session: str, headers: Mapping[bytes, bytes]) -> str:
    """Return what names one thread of a session: the session itself, or a sub-agent in it.

    What a database could not keep is named by its hash.
    """
    agent = headers.get(AGENT_HEADER)
    name = f"{session}/{agent.decode('latin-1')[:MAX_CHARS]}" if agent else session
    if name.isprintable():
        return name
    return f"odd-{blake2b(name.encode('utf-8', 'backslashreplace'), digest_size=12).hexdigest()}"


def conversation_of(call: Call) -> str:
    """Return what names the conversation of a call, or the sub-agent's thread in it; "" when nothing does.

    Where the client sends no id, its beginning is read, once: that costs something, so ask where it matters.
    """
    session = call.session_id or begun_id(call)
    return thread_of(session, call.headers) if session else ""


def begun_id(call: Call) -> str:
    """Return the id that the beginning of a call's conversation gives it, as the client sent it; "" for none."""
    if call.begun_id is None:
        assert call.asked is not None and call.principal is not None
        is_any = call.is_conversation or is_count(call.route.operation)
        call.begun_id = derived_id(call.principal.key_id, call.asked.members.values) if is_any else ""
    return call.begun_id


def derived_id(key_id: str, members: Mapping[str, Raw]) -> str:
    """Return an id made of key, system prompt and first user message; "" where a body has no such message.

    A conversation begins alike in each of its requests, so its beginning names it.
    """
    digest = blake2b(key_id.encode(), digest_size=12)
    for name in _SYSTEM:
        if name in members:
            digest.update(memoryview(members[name])[:_LOOKED_AT_BYTES])
    turns = next((members[name] for name in _TURNS if name in members), None)
    if turns is None or not _take_beginning(digest, turns):
        return ""
    return f"begun-{digest.hexdigest()}"


def _take_beginning(digest: blake2b, turns: Raw) -> bool:
    """Add the turns up to the first user's to the digest; return whether there was one."""
    text = bytes(memoryview(turns)[:_LOOKED_AT_BYTES]).decode("utf-8", "ignore").lstrip()
    if not text.startswith("["):
        digest.update(text.encode())
        return text.startswith('"')
    place = 1
    while True:
        rest = text[place:].lstrip(" \t\r\n,")
        if not rest or rest[0] != "{":
            return False
        try:
            turn, end = _scan(rest)
        except (ValueError, RecursionError):
            digest.update(rest.encode())  # longer than what is looked at, or broken: its beginning has to do
            return True
        place += len(text) - place - len(rest) + end
        role = turn.get("role", "user")
        if role in {"user", "system", "developer"}:
            digest.update("\n".join(_texts(turn.get("content", turn.get("parts")))).encode("utf-8", "replace"))
        if role == "user":
            return True


def _texts(content: Any) -> list[str]:
    """Return the text of a message; marks for caching and media, which come and go, are left out."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return [text for text in texts if isinstance(text, str)]
