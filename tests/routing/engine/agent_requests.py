"""What coding agents ask: requests of the same shape as theirs, in our own words.

Each shape has what was seen of one agent and one generation of its models: how it lays out its prompt, marks its cache,
asks for thinking, declares its tools, and goes on after a tool has run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]
PROMPT, RULES, ASKED = "You look for birds.", "Answer briefly. Keep to the reeds.", "Find the heron."
FOUND = "the heron stands in the reeds"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: A tool's parameters with what the agents' schemas have beyond the usual.
PARAMETERS: JSON = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Where it lies."},
        "offset": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
        "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991},
        "mode": {"anyOf": [{"type": "string", "enum": ["whole", "head"]}, {"type": "null"}]},
        "labels": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {}},
    },
    "required": ["path"],
    "additionalProperties": False,
}
READ = {"path": "/birds/note.txt"}
PATCH = "*** Begin Patch\n*** Add File: new.txt\n+heron\n*** End Patch\n"


@dataclass(frozen=True)
class Called:
    """A call as the client was told of it: its name there, its arguments, and the item, block or part itself."""

    name: str
    arguments: Any
    told: JSON


@dataclass(frozen=True)
class Habit:
    """One agent's request: where it goes, what it says, and how the agent goes on."""

    format: str
    path: str
    body: JSON
    #: The tool that the model calls: its name for upstreams of other formats, its arguments, and what the client sees.
    call: tuple[str, JSON]
    seen: tuple[str, Any]
    #: Events of a stream, or the one body → the calls in it.
    calls: Callable[[list[JSON]], list[Called]]
    #: The body and what was told → the body of the next request, with the tool's output.
    goes_on: Callable[[JSON, list[JSON]], JSON]
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""


# --- Claude Code ---------------------------------------------------------------------------------------------------

_EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def _claude_tool(name: str) -> JSON:
    return {"name": name, "description": f"{name} it.", "input_schema": {"$schema": DRAFT, **PARAMETERS}}


def claude(model: str, betas: str, *messages: JSON, **members: Any) -> JSON:
    """Return a body of the main conversation."""
    reminder = {"type": "text", "text": "<system-reminder>\nIt is Monday.\n</system-reminder>"}
    asked = {"role": "user", "content": [reminder, {"type": "text", "text": ASKED, **_EPHEMERAL}]}
    return {
        "model": model,
        "messages": [asked, *messages],
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=0.0.0.abc; cc_entrypoint=sdk-cli;"},
            {"type": "text", "text": PROMPT, **_EPHEMERAL},
            {"type": "text", "text": RULES, **_EPHEMERAL},
        ],
        "tools": [_claude_tool("Read"), _claude_tool("Agent")],
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s-1"})},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stream": True,
        **members,
    }


def _claude_calls(events: list[JSON]) -> list[Called]:
    return [
        Called(block["name"], block["input"], block) for block in claude_turn(events) if block["type"] == "tool_use"
    ]


def claude_turn(events: list[JSON]) -> list[JSON]:
    """Return the blocks of a streamed answer."""
    blocks: list[JSON] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
            blocks[-1]["_json"] = ""
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            blocks[-1]["_json"] += delta.get("partial_json", "")
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    blocks[-1][name] = blocks[-1].get(name, "") + delta[name]
    for block in blocks:
        arguments = block.pop("_json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(arguments or "{}")
    return blocks


def _claude_goes_on(body: JSON, events: list[JSON]) -> JSON:
    blocks = claude_turn(events)
    used = next(block["id"] for block in blocks if block["type"] == "tool_use")
    result = {"tool_use_id": used, "type": "tool_result", "content": FOUND, **_EPHEMERAL}
    turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
    return {**body, "messages": [*body["messages"], *turns]}


_BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27"


def _claude_habit(body: JSON, betas: str = _BETAS) -> Habit:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": betas, "x-claude-code-session-id": "s-1"}
    called = ("Read", READ)
    return Habit(
        "anthropic", "/v1/messages", body, called, called, _claude_calls, _claude_goes_on, headers, "beta=true"
    )


_BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 31999}, "max_tokens": 32000}
_ADAPTIVE = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "max_tokens": 64000}
_OFF = {"thinking": {"type": "disabled"}, "temperature": 1, "max_tokens": 32000}
#: Its search of the web, which it asks for beside the conversation.
CLAUDE_SEARCH: JSON = claude("claude-sonnet-4-5", _BETAS, **_OFF) | {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Search the web for: herons"}]}],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
    "tool_choice": {"type": "tool", "name": "web_search"},
}
#: It counts its tools one by one, a dozen and more at once.
CLAUDE_COUNT: JSON = {
    "model": "claude-sonnet-4-5",
    "messages": [{"role": "user", "content": "foo"}],
    "tools": [_claude_tool("Read")],
}

# --- Codex ---------------------------------------------------------------------------------------------------------

_FUNCTION = {"type": "function", "name": "exec_command", "description": "Run it.", "strict": False}
_COMMAND: JSON = {**_FUNCTION, "parameters": PARAMETERS}
_GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" /(.|\\n)+/'}
_APPLY: JSON = {"type": "custom", "name": "apply_patch", "description": "Change files.", "format": _GRAMMAR}
_SPAWN: JSON = {**_FUNCTION, "name": "spawn_agent", "parameters": PARAMETERS}
_CREW: JSON = {"type": "namespace", "name": "multi_agent_v1", "description": "Sub-agents.", "tools": [_SPAWN]}
_FIND: JSON = {"type": "tool_search", "execution": "client", "description": "Find tools."} | {
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
}
_WEB: JSON = {"type": "web_search", "external_web_access": True}


def _item(role: str, *texts: str) -> JSON:
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "id": f"msg_{role}", "role": role, "content": content}


def codex(model: str, *before: JSON, **members: Any) -> JSON:
    """Return a body of the conversation; what stands `before` the prompt declares tools."""
    return {
        "model": model,
        "stream": True,
        "input": [*before, _item("developer", PROMPT), _item("developer", RULES), _item("user", ASKED)],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "01a1fe8a-6486-7451-9aff-12b2d59a779d",
        "client_metadata": {"thread_id": "t-1", "x-codex-turn-metadata": "{}"},
        **members,
    }


def codex_turn(events: list[JSON]) -> list[JSON]:
    """Return the items of a streamed answer."""
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def _codex_calls(events: list[JSON]) -> list[Called]:
    calls = []
    for item in codex_turn(events):
        if item["type"] in {"function_call", "custom_tool_call"}:
            said = item["input"] if "input" in item else json.loads(item["arguments"])
            calls.append(Called(".".join(filter(None, (item.get("namespace"), item["name"]))), said, item))
    return calls


def _codex_goes_on(body: JSON, events: list[JSON]) -> JSON:
    items = codex_turn(events)
    called = next(item for item in items if "call_id" in item)
    output = {"type": f"{called['type']}_output", "id": "fco_1", "call_id": called["call_id"], "output": FOUND}
    if called["type"] == "function_call":
        output["output"] = f"Exit code: 0\nOutput:\n{FOUND}\n"
    return {**body, "input": [*body["input"], *items, output]}


def _codex_habit(body: JSON, call: tuple[str, JSON], seen: tuple[str, Any]) -> Habit:
    headers = {"session-id": "s-1", "thread-id": "t-1", "originator": "codex_exec", "accept": "text/event-stream"}
    return Habit("openai-responses", "/v1/responses", body, call, seen, _codex_calls, _codex_goes_on, headers)


_DECLARED: JSON = {"type": "additional_tools", "id": "at_1", "role": "developer"} | {
    "tools": [{"type": "namespace", "name": "functions", "description": "", "tools": [_APPLY, _COMMAND]}, _CREW]
}
_PATCHED = ("apply_patch", {"input": PATCH})

# --- Gemini CLI ----------------------------------------------------------------------------------------------------


def gemini(**thinking: Any) -> JSON:
    """Return a body of the conversation."""
    declared = [
        {"name": name, "description": "Do it.", "parametersJsonSchema": PARAMETERS} for name in ("read_file", "ls")
    ]
    return {
        "contents": [{"role": "user", "parts": [{"text": "It is Monday."}, {"text": ASKED}]}],
        "systemInstruction": {"role": "user", "parts": [{"text": f"{PROMPT}\n{RULES}"}]},
        "tools": [{"functionDeclarations": declared}],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "thinkingConfig": {"includeThoughts": True, **thinking},
        },
    }


def gemini_turn(chunks: list[JSON]) -> list[JSON]:
    """Return the parts of an answer."""
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates") or ()]
    return [part for candidate in candidates for part in candidate.get("content", {}).get("parts") or ()]


def _gemini_calls(chunks: list[JSON]) -> list[Called]:
    calls = [part for part in gemini_turn(chunks) if "functionCall" in part]
    return [Called(part["functionCall"]["name"], part["functionCall"].get("args"), part) for part in calls]


def _gemini_goes_on(body: JSON, chunks: list[JSON]) -> JSON:
    # It gives every call an id of its own, and leaves thoughts out of the history.
    parts = [part for part in gemini_turn(chunks) if not part.get("thought") and part != {"text": ""}]
    parts = [
        {**part, "functionCall": {**part["functionCall"], "id": "read_file_1_0"}} if "functionCall" in part else part
        for part in parts
    ]
    answered = {"name": "read_file", "id": "read_file_1_0", "response": {"output": FOUND}}
    turns = [{"role": "model", "parts": parts}, {"role": "user", "parts": [{"functionResponse": answered}]}]
    return {**body, "contents": [*body["contents"], *turns]}


def _gemini_habit(model: str, body: JSON) -> Habit:
    path = f"/v1beta/models/{model}:streamGenerateContent"
    called = ("read_file", READ)
    return Habit("gemini", path, body, called, called, _gemini_calls, _gemini_goes_on, query="alt=sse")


#: Its search of the web, which it asks for beside the conversation, and whole.
GEMINI_SEARCH: JSON = {
    **gemini(),
    "tools": [{"googleSearch": {}}],
    "generationConfig": {"temperature": 0, "topP": 1},
} | {"contents": [{"role": "user", "parts": [{"text": "where do herons stand"}]}]}

MID_SYSTEM: JSON = {"role": "system", "content": "Agents that you can use: scout."}
HABITS = {
    "claude-budget": _claude_habit(claude("claude-sonnet-4-5", _BETAS, **_BUDGET)),
    "claude-adaptive": _claude_habit(
        claude("claude-opus-4-8", _BETAS, MID_SYSTEM, **_ADAPTIVE),
        f"{_BETAS},mid-conversation-system-2026-04-07,effort-2025-11-24",
    ),
    "claude-subagent": _claude_habit(claude("claude-haiku-4-5-20251001", _BETAS, **_OFF)),
    "codex-plain": _codex_habit(
        codex("gpt-5.2", tools=[_COMMAND, _CREW, _WEB], reasoning={"summary": "auto"}),
        ("multi_agent_v1__spawn_agent", READ),
        ("multi_agent_v1.spawn_agent", READ),
    ),
    "codex-search": _codex_habit(
        codex(
            "gpt-5.5",
            tools=[_COMMAND, _APPLY, _FIND, {**_WEB, "search_content_types": ["text", "image"]}],
            reasoning={"effort": "medium"},
            text={"verbosity": "low"},
        ),
        _PATCHED,
        ("apply_patch", PATCH),
    ),
    "codex-newest": _codex_habit(
        codex("gpt-5.6-sol", _DECLARED, reasoning={"effort": "low", "context": "all_turns"}, parallel_tool_calls=False),
        _PATCHED,
        ("functions.apply_patch", PATCH),
    ),
    "gemini-budget": _gemini_habit("gemini-2.5-pro", gemini(thinkingBudget=8192)),
    "gemini-level": _gemini_habit("gemini-3.1-pro-preview", gemini(thinkingLevel="HIGH")),
}
