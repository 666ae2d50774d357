"""Which conversation a request belongs to, by the first identifier that its client sends."""

from __future__ import annotations

from collections.abc import Mapping

#: Headers that carry a conversation's id, first hit wins; the last two count only for the client that means it so.
SESSION_HEADERS = (b"x-routex-session-id", b"x-claude-code-session-id", b"x-opencode-session", b"x-session-id")
AGENT_HEADERS = (b"session-id", b"session_id", b"thread-id", b"conversation_id")
MAX_CHARS = 200


def session_id(headers: Mapping[bytes, bytes], hint: str) -> str:
    """Return the id, or an empty string when the request names no conversation."""
    for name in SESSION_HEADERS:
        if value := headers.get(name):
            return value.decode("latin-1")[:MAX_CHARS]
    if b"codex" in headers.get(b"user-agent", b"").lower():
        for name in AGENT_HEADERS:
            if value := headers.get(name):
                return value.decode("latin-1")[:MAX_CHARS]
    return hint[:MAX_CHARS]
