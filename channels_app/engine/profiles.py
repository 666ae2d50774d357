"""What model families can do, whoever hosts them: facts that several providers share.

A family's base is for names that nobody has heard of yet: what its newest members take, and of that what its older
ones do not refuse either. The lines below it name what is known to differ.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities

Facts = tuple[tuple[str, dict[str, Any]], ...]

# --- OpenAI ---------------------------------------------------------------------------------------------------------

_INVENTORS: tuple[str, ...] = ("store", "prediction", "moderation")
#: Any server that says it speaks Chat Completions: the classic members, and nothing that is new unless a client of that
#: format asks for it.
COMPATIBLE_CHAT = Capabilities(reasoning_effort=True, rare_members=_INVENTORS)
#: Any server that says it speaks Responses.
COMPATIBLE_RESPONSES = replace(COMPATIBLE_CHAT, tool_message_images=True)
#: A server for open models (vLLM and its like): what such models' chat templates can do, and tags left in the text
#: where its operator chose no parser for reasoning.
OPEN_CHAT = Capabilities(
    parallel_tool_calls=False,
    strict_tools=False,
    top_k=True,
    user=False,
    think_tags=True,
)
#: The order and the ids that Mistral's models insist on, wherever they run.
MISTRAL: dict[str, Any] = {"tool_id": r"^[a-zA-Z0-9]{9}$", "max_tool_id": 9, "user_after_tool": False}
#: Families whose templates ask for more.
OPEN_MODELS: Facts = (
    ("*gpt-oss*", {"reasoning_effort": True, "efforts": ("low", "medium", "high"), "think_tags": False}),
    ("*gemma*", {"strict_alternation": True}),
    *((f"*{name}*", MISTRAL) for name in ("mistral", "mixtral", "ministral", "magistral", "devstral", "codestral")),
    # Kimi counts its calls in ids such as `functions.search:0`, and reads them again.
    ("*kimi*", {"tool_id": r"^[a-zA-Z0-9_.:-]+$", "reasoning_content_input": True}),
)

_THINKS_ALWAYS: dict[str, Any] = {"reasons_by_default": True, "thinking_off": False, "named_choice": False}
#: Qwen where Alibaba hosts it: open models of the third generation think unless told not to, those after it all do,
#: and some have no other way.
QWEN_MODELS: Facts = (
    ("*qwen3-[0-9]*", {"reasons_by_default": True}),
    ("*qwen3.[5-9]*", {"reasons_by_default": True}),
    ("*-instruct*", {"reasons_by_default": False}),
    *((glob, _THINKS_ALWAYS) for glob in ("*qwq*", "*qvq*", "*-thinking*")),
)

#: OpenAI's own Chat Completions.
GPT_CHAT = Capabilities(
    cache_key=True,
    cache_breakpoints=True,
    mid_system=True,
    developer_role=True,
    file_formats=("openai-responses",),
    custom_tools=True,
    allowed_tools=True,
    web_search=False,
    max_tool_id=40,
    reasoning_effort=True,
    sampling_with_reasoning=False,
    verbosity=True,
    max_tokens_field="max_completion_tokens",
    service_tier=True,
    safety_identifier=True,
    metadata=True,
    store=True,
    rare_members=_INVENTORS,
)
#: OpenAI's own Responses.
GPT_RESPONSES = replace(
    GPT_CHAT, file_formats=("openai-chat",), max_tool_id=64, web_search=True, tool_message_images=True
)

_CLASSIC_GPT: dict[str, Any] = {"reasoning_effort": False, "custom_tools": False, "verbosity": False}
_O_SERIES: dict[str, Any] = {
    "efforts": ("low", "medium", "high"),
    "sampling_params": False,
    "penalties": False,
    "logprobs": False,
    "logit_bias": False,
    "custom_tools": False,
    "verbosity": False,
    "parallel_tool_calls": False,
    "max_output": 100_000,
}
_GPT_5: dict[str, Any] = {
    "penalties": False,
    "logit_bias": False,
    "max_stop": 0,
    "max_output": 128_000,
}
#: Names may stand inside longer ones: fine-tuned models and deployments are called `ft:gpt-4o:…` or `prod-gpt-4o`.
GPT_MODELS: Facts = (
    ("*gpt-3*", {**_CLASSIC_GPT, "structured_output": False, "max_output": 4096}),
    ("*gpt-4*", _CLASSIC_GPT),
    ("*gpt-4", {"structured_output": False, "max_output": 8192}),
    ("*gpt-4-*", {"structured_output": False, "max_output": 4096}),
    ("*gpt-4o*", {"max_output": 16384}),
    ("*gpt-4o-2024-05-13", {"structured_output": False, "max_output": 4096}),
    ("*gpt-4.1*", {"max_output": 32768}),
    ("o[134]", _O_SERIES),
    ("o[134]-*", _O_SERIES),
    ("o[34]*", {"max_stop": 0}),
    ("*gpt-5*", _GPT_5),
    # The first ones reason always and have no effort `none`.
    ("*gpt-5", {"sampling_params": False, "logprobs": False, "efforts": ("minimal", "low", "medium", "high")}),
    ("*gpt-5-*", {"sampling_params": False, "logprobs": False, "efforts": ("minimal", "low", "medium", "high")}),
    ("*gpt-5.1*", {"efforts": ("none", "low", "medium", "high")}),
    ("*gpt-5.[2-9]*", {"efforts": ("none", "low", "medium", "high", "xhigh")}),
    ("*gpt-5-pro*", {"efforts": ("high",)}),
    ("*gpt-5*-codex*", {"efforts": ("low", "medium", "high")}),
    *((f"*gpt-5.{line}*", {"efforts": ("low", "medium", "high", "xhigh")}) for line in ("1-codex-max", "[2-9]*-codex")),
    ("*gpt-5*-chat*", {"reasoning_effort": False, "sampling_params": True, "max_output": 16384}),
    ("*gpt-6*", {**_GPT_5, "reasons_by_default": True}),
    ("*-search-*", {"web_search": True, "sampling_params": False}),
)

# --- Anthropic ------------------------------------------------------------------------------------------------------

#: Claude, asked in Anthropic's format.
CLAUDE = Capabilities(
    cache_control=True,
    mid_system=False,
    prefill="refused",
    web_search=True,
    max_tool_name=128,
    max_tool_id=256,
    efforts=("low", "medium", "high", "xhigh", "max"),
    thinking="adaptive",
    sampling_params=False,
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
_NEWEST_CLAUDE: dict[str, Any] = {
    "thinking": "adaptive",
    "prefill": "refused",
    "sampling_params": False,
    "sampling_with_reasoning": False,
    "default_max_output": 32000,
}
_CLASSIC_CLAUDE: dict[str, Any] = {
    "thinking": "none",
    "prefill": "native",
    "sampling_params": True,
    "structured_output": False,
    "strict_tools": False,
    "max_output": 4096,
    "default_max_output": 4096,
}
_CLAUDE_4: dict[str, Any] = {
    "thinking": "enabled",
    "prefill": "native",
    "sampling_params": True,
    "sampling_together": False,
    "max_output": 64000,
    "default_max_output": 8192,
}
_NO_SCHEMA: dict[str, Any] = {"structured_output": False, "strict_tools": False}
#: The version is told in words that differ by host: `claude-sonnet-4-5-20250929`, `claude-sonnet-4.5`,
#: `claude-sonnet-4@20250514`, `anthropic.claude-sonnet-4-20250514-v1:0`.
CLAUDE_MODELS: Facts = (
    *((f"*claude-{line}*", _CLASSIC_CLAUDE) for line in ("instant", "[123]")),
    ("*claude-3[-.]5*", {"max_output": 8192, "default_max_output": 8192}),
    ("*claude-3[-.]7*", {**_CLAUDE_4, **_NO_SCHEMA, "sampling_together": True}),
    ("*claude-*-4", _CLAUDE_4),
    ("*claude-*-4[-.@][0-5]*", _CLAUDE_4),
    *((f"*claude-*-4{rest}", _NO_SCHEMA) for rest in ("", "[-.@][012]*")),
    *((f"*claude-opus-4{rest}", {"max_output": 32000}) for rest in ("", "[-.@][012]*")),
    ("*claude-*-4[-.][6-9]*", {**_NEWEST_CLAUDE, "max_output": 128_000}),
    (
        "*claude-*-4[-.]6*",
        {"sampling_params": True, "sampling_together": False, "efforts": ("low", "medium", "high", "max")},
    ),
    ("*claude-sonnet-4[-.]6*", {"max_output": 64000}),
    ("*claude-*-4[-.][789]*", {"mid_system": True}),
    *(
        (f"*claude-{line}-[5-9]*", {**_NEWEST_CLAUDE, "mid_system": True, "max_output": 128_000})
        for line in ("sonnet", "opus", "haiku")
    ),
)
#: A server that answers Anthropic's paths with models of its own: the classic members.
COMPATIBLE_MESSAGES = replace(
    CLAUDE,
    cache_control=False,
    inventors_notes=False,
    prefill="loose",
    strict_tools=False,
    web_search=False,
    max_tool_name=64,
    max_tool_id=64,
    thinking="enabled",
    sampling_params=True,
    sampling_with_reasoning=True,
    max_stop=4,
    structured_output=False,
    default_max_output=8192,
    service_tier=False,
)

# --- Gemini ---------------------------------------------------------------------------------------------------------

#: Gemini, asked in its own format. Budgets are understood by every line, levels by some; an unneeded signature is
#: ignored, a missing one refused.
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
    tool_name_starts_with_letter=True,
    max_tool_id=256,
    top_k=True,
    logit_bias=False,
    max_stop=5,
    thinking_level=False,
    thought_signature_required=True,
    thinking="enabled",
    service_tier=True,
    max_output=65536,
    max_thinking=24576,
)
_BEFORE_THINKING: dict[str, Any] = {"thinking": "none", "max_output": 8192, "gemini_schema": "openapi"}
_GEMINI_3: dict[str, Any] = {
    "thinking_level": True,
    "tool_result_media": True,
    "efforts": ("minimal", "low", "medium", "high"),
    # Its highest word is not the next one above `xhigh`, which few of these models know.
    "effort_words": (("max", "high"),),
}
GEMINI_MODELS: Facts = (
    ("gemini-[12]*", {"thought_signature_required": False}),
    ("gemini-1*", _BEFORE_THINKING),
    ("gemini-2.0*", _BEFORE_THINKING),
    # It cannot stop thinking: the least is a small budget.
    (
        "gemini-2.5-pro*",
        {
            "max_thinking": 32768,
            "min_thinking": 128,
            "efforts": ("minimal", "low", "medium", "high", "xhigh", "max"),
        },
    ),
    ("gemini-[3-9]*", _GEMINI_3),
    ("gemini-3.[1-9]*", {"efforts": ("minimal", "low", "medium", "high", "xhigh")}),
    ("gemini-3-pro*", {"efforts": ("low", "medium", "high")}),
    ("gemma*", {**_BEFORE_THINKING, "thought_signature_required": False}),
)
