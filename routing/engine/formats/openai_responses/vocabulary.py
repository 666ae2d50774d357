"""The words of Responses that both directions need: events, codes, kinds of tools and items."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError
from routing.engine.openai_shape import error_object

NAME = "openai-responses"

LIFECYCLE = frozenset({"response.created", "response.queued", "response.in_progress"})
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

# Codes that Codex acts on; OpenAI's own set is closed, and everything else is its `server_error`.
FAILED_CODES = frozenset(
    {"rate_limit_exceeded", "insufficient_quota", "context_length_exceeded", "server_is_overloaded"}
)

ENCRYPTED_REASONING = "reasoning.encrypted_content"
OUTPUT_LOGPROBS = "message.output_text.logprobs"

#: Calls of tools that the client runs although it did not write their schema, and the member that says what to run.
CLIENT_RUN_CALLS = {"apply_patch_call": "operation", "local_shell_call": "action", "shell_call": "action"}

#: Members of calls and of their outputs that the conversation has a place for, or no use.
_CALL_MEMBERS = frozenset(
    {"type", "id", "call_id", "name", "arguments", "input", "output", "status", "created_by"}
    | {*CLIENT_RUN_CALLS.values()}
)

#: Members that other formats may have by the same names, in the same sense.
SHARED_CACHING = ("prompt_cache_retention", "prompt_cache_options")
SHARED = frozenset({*SHARED_CACHING, "safety_identifier", "user"})

#: The least that `max_output_tokens` may be.
MIN_OUTPUT_TOKENS = 16
#: The most characters of a user's id and of a cache key.
MAX_ID_CHARS = 64

#: What a reasoning item stands for that carries another part's state: no other slot of an answer is opaque.
STATE_OF_CALL = "call"
STATE_OF_TEXT = "text"
#: Marks hidden thinking, which looks like any other without a summary.
REDACTED = "redacted"


def failed_error(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the `error` of a failed response: a code of the closed set, and beside it all that an error says.

    `reason` is the error's own code.
    """
    code = "invalid_prompt" if error.kind == "invalid_request" else "server_error"
    said = error_object(error, request_id)
    return {**said, "code": error.code if error.code in FAILED_CODES else code, "reason": said["code"]}


def hosted_name(kind: str) -> str:
    """Return our word for a tool that the upstream runs, by its type."""
    if kind.startswith("web_search"):
        return "web_search"
    if kind.startswith("computer"):
        return "computer"
    return "code_execution" if kind == "code_interpreter" else kind


def native_members(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a call or an output says that only this format has: its namespace, who called it."""
    return {name: each for name, each in item.items() if name not in _CALL_MEMBERS and each is not None} or None


def with_searches(usage: Usage | None, output: bytes | msgspec.Raw | list[Any]) -> Usage | None:
    """Return a usage with the web searches of an output: each is an item of its own, and charged apart."""
    if usage is None:
        return None
    if isinstance(output, list):
        searches = sum(isinstance(item, dict) and item.get("type") == _SEARCH for item in output)
    else:
        # The word with both its quotation marks is a whole JSON string; inside another one they are escaped.
        searches = bytes(output).count(_SEARCH_JSON)
    return replace(usage, web_searches=searches) if searches else usage


_SEARCH = "web_search_call"
_SEARCH_JSON = b'"web_search_call"'
