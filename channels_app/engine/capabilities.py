"""What an upstream's model can take: the facts that decide how a request is written for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

#: Model-name glob → the capabilities in which such models differ. Every line that matches counts, later ones win.
ModelFacts = Iterable[tuple[str, Mapping[str, Any]]]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about one model of one provider. The defaults are those of a server about which nothing is known."""

    # --- what a prompt may hold ---
    #: Cache breakpoints on blocks: none, Anthropic's `cache_control`, or OpenAI's `prompt_cache_breakpoint`.
    cache_control: bool = False
    cache_breakpoints: bool = False
    #: They may stand behind tools, too (Converse).
    cached_tools: bool = True
    #: `prompt_cache_key` is known.
    cache_key: bool = False
    #: A `system` message may stand between others (Anthropic's beta; chat formats always may).
    mid_system: bool = False
    #: `developer` is a known role; else it is written as `system`.
    developer_role: bool = False
    #: A message may carry the name of who speaks (chat formats).
    names: bool = True
    #: Text may come as a list of parts, which keeps its blocks apart; else it is one string (chat formats).
    text_parts: bool = True
    #: What a client notes in its prompt for the inventor of the format alone (Claude Code's billing header) is read.
    inventors_notes: bool = True
    #: Media by URL are fetched by the upstream; else they must be sent inline, but for addresses that begin like these.
    image_urls: bool = True
    own_urls: tuple[str, ...] = ()
    #: A document is a part with a URL, which may be a data URI; else one with a file in it (chat formats).
    document_urls: bool = False
    #: Other formats under which the same files can be named by the ids of their uploads.
    file_formats: tuple[str, ...] = ()
    #: Images in tool messages (chat formats).
    tool_message_images: bool = False
    #: Media inside a function response (Gemini 3).
    tool_result_media: bool = False
    #: A trailing assistant message is continued, perhaps, or refused.
    prefill: Literal["native", "loose", "refused"] = "loose"
    #: It is continued when marked with `prefix: true`.
    prefix: bool = False
    #: The first messages are merged and roles must alternate.
    strict_alternation: bool = False
    #: A user may speak right after a tool's result, or only once the model has (chat formats).
    user_after_tool: bool = True

    # --- tools ---
    custom_tools: bool = False
    strict_tools: bool = True
    parallel_tool_calls: bool = True
    #: `allowed_tools` is a known tool choice (chat formats).
    allowed_tools: bool = False
    #: The word that demands any tool call (`required`, or Mistral's `any`); "" when it cannot be demanded.
    required_choice: str = "required"
    #: A single tool can be demanded by name.
    named_choice: bool = True
    web_search: bool = False
    max_tool_name: int = 64
    #: A tool's name must begin with a letter or an underscore.
    tool_name_starts_with_letter: bool = False
    #: What a tool call's id must look like, and its greatest length.
    tool_id: str = r"^[a-zA-Z0-9_-]+$"
    max_tool_id: int = 64
    #: Ids are sent at all (old Gemini backends refuse them).
    tool_ids: bool = True

    # --- reasoning ---
    #: `reasoning_effort` is known (chat formats), and the words it takes.
    reasoning_effort: bool = False
    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    #: What the upstream takes other words for, where that is not the nearest of its own.
    effort_words: tuple[tuple[str, str], ...] = ()
    #: Reasoning text goes back in the history: on every assistant turn that calls tools.
    reasoning_content_input: bool = False
    #: The member that carries it both ways.
    reasoning_field: str = "reasoning_content"
    #: How thinking is switched on: a budget, adaptively by effort, or not at all.
    thinking: Literal["enabled", "adaptive", "none"] = "none"
    #: Gemini: level instead of budget; a turn's first call needs a signature.
    thinking_level: bool = False
    thought_signature_required: bool = False
    #: A switch that dialects spell their own way (see the provider).
    thinking_switch: Literal["", "thinking", "enable_thinking", "reasoning", "chat_template_kwargs", "think"] = ""
    #: Its thinking can be switched off; else the switch is left out rather than refused (chat formats).
    thinking_off: bool = True
    #: A budget may stand beside that switch, where it is a flag.
    thinking_budget: bool = True
    #: A tool can be demanded of a model that thinks; else its thinking is switched off for that answer (chat
    #: formats; it always is in Anthropic's).
    choice_while_thinking: bool = True
    #: A model that thinks answers whole, too; else it is asked for a stream, which is collected (chat formats).
    whole_while_thinking: bool = True
    #: `<think>…</think>` at the start of the text is reasoning.
    think_tags: bool = False

    # --- sampling and output ---
    sampling_params: bool = True
    #: temperature, top_p are refused while reasoning is on; and it is on when nothing is said about it.
    sampling_with_reasoning: bool = True
    reasons_by_default: bool = False
    #: temperature and top_p may be given in one request.
    sampling_together: bool = True
    max_temperature: float = 2.0
    top_k: bool = False
    seed: bool = True
    penalties: bool = True
    logit_bias: bool = True
    logprobs: bool = True
    choices: bool = True
    max_stop: int = 4
    structured_output: bool = True
    #: A schema is written as `{type: "json", value: <schema>}` (chat formats).
    schema_as_value: bool = False
    json_object: bool = True
    verbosity: bool = False
    #: The member for the output limit: `max_completion_tokens`, or `max_tokens` for older and local servers.
    max_tokens_field: str = "max_tokens"
    #: The most that the model can write; None when not known.
    max_output: int | None = None
    #: What is asked for where the format demands a limit, the client gave none, and the model's own is not known.
    default_max_output: int = 8192
    #: The largest thinking budget; None when not known.
    max_thinking: int | None = None
    #: The smallest thinking budget: a model that has one cannot be kept from thinking.
    min_thinking: int = 0
    gemini_schema: Literal["json", "openapi"] = "json"
    service_tier: bool = False
    safety_identifier: bool = False
    user: bool = True
    metadata: bool = False
    store: bool = False
    stream_usage: bool = True
    #: Of the members that only few upstreams of the format know (see its codec), those that this one does.
    rare_members: tuple[str, ...] = ()
    #: The member that carries the random seed.
    seed_field: str = "seed"

    # --- the version spoken ---
    #: Anthropic's `anthropic-version`.
    api_version: str = "2023-06-01"

    # --- how its numbers are meant ---
    #: Cached tokens are counted in the input tokens; False: beside them.
    input_includes_cache: bool = True


def of_model(base: Capabilities, facts: ModelFacts, model: str) -> Capabilities:
    """Return the capabilities of a model: the provider's own with every matching line laid over, in order.

    A vendor prefix (`anthropic/claude-…`) is matched with and without.
    """
    names = (model.lower(), model.lower().rpartition("/")[2])
    changes: dict[str, Any] = {}
    for glob, differing in facts:
        if any(fnmatchcase(name, glob) for name in names):
            changes |= differing
    return msgspec.structs.replace(base, **changes) if changes else base
