"""The words of Responses that both directions need: events, codes, tool types, ids and usage."""

from __future__ import annotations

NAME = "openai-responses"

LIFECYCLE = frozenset({"response.created", "response.queued", "response.in_progress"})
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

# Codes that Codex acts on; OpenAI's own set is closed, and everything else is its `server_error`.
FAILED_CODES = frozenset(
    {"rate_limit_exceeded", "insufficient_quota", "context_length_exceeded", "server_is_overloaded"}
)
