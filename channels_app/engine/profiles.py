"""What model families can do, whoever hosts them: facts that several providers share."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities

Facts = tuple[tuple[str, dict[str, Any]], ...]

#: Any server that says it speaks Chat Completions: the classic members, and nothing that is new.
COMPATIBLE_CHAT = Capabilities(reasoning_effort=True)

#: OpenAI's own Chat Completions.
GPT_CHAT = Capabilities(
    cache_key=True,
    cache_breakpoints=True,
    mid_system=True,
    developer_role=True,
    custom_tools=True,
    allowed_tools=True,
    web_search=False,
    max_tool_id=40,
    reasoning_effort=True,
    verbosity=True,
    max_tokens_field="max_completion_tokens",
    service_tier=True,
    safety_identifier=True,
    metadata=True,
    store=True,
)
#: OpenAI's own Responses.
GPT_RESPONSES = replace(GPT_CHAT, max_tool_id=64, web_search=True, tool_message_images=True)
GPT_MODELS: Facts = (
    ("gpt-3.5*", {"reasoning_effort": False, "custom_tools": False, "verbosity": False, "structured_output": False}),
    ("gpt-4*", {"reasoning_effort": False, "custom_tools": False, "verbosity": False}),
    ("o[134]*", {"efforts": ("low", "medium", "high"), "sampling_params": False, "penalties": False}),
    ("o[134]*", {"custom_tools": False, "verbosity": False, "logprobs": False, "logit_bias": False}),
    ("gpt-5*", {"sampling_with_reasoning": False}),
    ("gpt-6*", {"sampling_with_reasoning": False}),
    ("*-search-*", {"web_search": True}),
)

#: Claude, asked in Anthropic's format.
CLAUDE = Capabilities(
    cache_control=True,
    mid_system=False,
    prefill="native",
    web_search=True,
    max_tool_name=128,
    max_tool_id=256,
    thinking="adaptive",
    sampling_with_reasoning=False,
    max_temperature=1.0,
    top_k=True,
    max_stop=100,
    json_object=False,
    max_tokens_field="max_tokens",
    default_max_output=32000,
    service_tier=True,
    metadata=False,
)
_MANUAL: dict[str, Any] = {"thinking": "enabled", "default_max_output": 8192}
_ADAPTIVE_ONLY: dict[str, Any] = {"prefill": "refused", "sampling_params": False}
CLAUDE_MODELS: Facts = (
    ("*claude-[123]*", {**_MANUAL, "max_output": 8192, "structured_output": False}),
    ("*claude-3-opus*", {"max_output": 4096}),
    ("*claude-3-haiku*", {"max_output": 4096}),
    ("*claude-3-[57]-*", {"max_output": 8192}),
    ("*claude-3-7-*", {"max_output": 64000}),
    ("*claude-*-4-[0-5]*", {**_MANUAL, "max_output": 64000}),
    ("*claude-opus-4-[01]*", {"max_output": 32000, "structured_output": False}),
    ("*claude-*-4-2*", {**_MANUAL, "structured_output": False}),
    ("*claude-opus-4-2*", {"max_output": 32000}),
    ("*claude-*-4-6*", {"prefill": "refused", "max_output": 128000}),
    ("*claude-*-4-[789]*", {**_ADAPTIVE_ONLY, "mid_system": True, "max_output": 128000}),
    ("*claude-*-[5-9]", {**_ADAPTIVE_ONLY, "mid_system": True, "max_output": 128000}),
    ("*claude-*-[5-9]-*", {**_ADAPTIVE_ONLY, "mid_system": True, "max_output": 128000}),
)

#: Gemini, asked in its own format.
GEMINI = Capabilities(
    image_urls=False,
    own_urls=(
        "gs://",
        "https://generativelanguage.googleapis.com/",
        "https://www.youtube.com/",
        "https://youtube.com/",
        "https://youtu.be/",
    ),
    allowed_tools=True,
    custom_tools=False,
    web_search=True,
    max_tool_name=64,
    max_tool_id=256,
    top_k=True,
    logit_bias=False,
    max_stop=5,
    thinking_level=False,
    thinking="enabled",
    service_tier=True,
    max_output=65536,
    max_thinking=24576,
)
_GEMINI_3: dict[str, Any] = {
    "thinking_level": True,
    "thought_signature_required": True,
    "tool_result_media": True,
    "efforts": ("minimal", "low", "medium", "high"),
}
GEMINI_MODELS: Facts = (
    ("gemini-1*", {"thinking": "none", "max_output": 8192, "gemini_schema": "openapi"}),
    ("gemini-2.0*", {"thinking": "none", "max_output": 8192, "gemini_schema": "openapi"}),
    ("gemini-2.5-pro*", {"max_thinking": 32768, "min_thinking": 128}),
    ("gemini-[3-9]*", _GEMINI_3),
    ("gemini-3.[1-9]*", {"efforts": ("minimal", "low", "medium", "high", "xhigh")}),
    ("gemini-3-pro*", {"efforts": ("low", "high")}),
)
