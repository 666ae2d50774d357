"""What is known of models by their names: old ones are told apart, hosts' spellings agree, unknown ones are new."""

import pytest

from channels_app.engine.capabilities import Capabilities, of_model
from channels_app.engine.profiles import (
    CLAUDE,
    CLAUDE_MODELS,
    COMPATIBLE_MESSAGES,
    GEMINI,
    GEMINI_MODELS,
    GPT_CHAT,
    GPT_MODELS,
    OPEN_CHAT,
    OPEN_MODELS,
)


def claude(model: str, base: Capabilities = CLAUDE) -> Capabilities:
    return of_model(base, CLAUDE_MODELS, model)


def gpt(model: str) -> Capabilities:
    return of_model(GPT_CHAT, GPT_MODELS, model)


def gemini(model: str) -> Capabilities:
    return of_model(GEMINI, GEMINI_MODELS, model)


@pytest.mark.parametrize(
    ("model", "thinking", "takes_sampling", "prefill", "max_output"),
    [
        ("claude-3-haiku-20240307", "none", True, "native", 4096),
        ("claude-3-5-sonnet-20241022", "none", True, "native", 8192),
        ("anthropic/claude-3.5-sonnet", "none", True, "native", 8192),
        ("claude-3-7-sonnet-20250219", "enabled", True, "native", 64000),
        ("claude-sonnet-4-20250514", "enabled", True, "native", 64000),
        ("claude-opus-4-1-20250805", "enabled", True, "native", 32000),
        ("claude-sonnet-4-5-20250929", "enabled", True, "native", 64000),
        ("claude-haiku-4-5", "enabled", True, "native", 64000),
        ("claude-opus-4-6", "adaptive", True, "refused", 128_000),
        ("claude-sonnet-4-6", "adaptive", True, "refused", 64000),
        ("claude-opus-4-8", "adaptive", False, "refused", 128_000),
        ("claude-sonnet-5", "adaptive", False, "refused", 128_000),
        ("claude-sonnet-5-20260901", "adaptive", False, "refused", 128_000),
        ("claude-x", "adaptive", False, "refused", None),
        ("claude-fable-6", "adaptive", False, "refused", None),
    ],
)
def test_claude_lines(model, thinking, takes_sampling, prefill, max_output):
    can = claude(model)
    assert (can.thinking, can.sampling_params, can.prefill, can.max_output) == (
        thinking,
        takes_sampling,
        prefill,
        max_output,
    )
    assert not can.sampling_with_reasoning


@pytest.mark.parametrize(
    "spellings",
    [
        ("claude-sonnet-4-20250514", "claude-sonnet-4@20250514", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("claude-opus-4", "claude-opus-4-0", "anthropic/claude-opus-4", "claude-opus-4-20250514"),
        ("claude-opus-4-1", "claude-opus-4.1", "claude-opus-4-1@20250805"),
        ("claude-haiku-4-5", "claude-haiku-4.5", "claude-haiku-4-5@20251001", "anthropic.claude-haiku-4-5-2025-v1:0"),
        ("claude-opus-4-7", "anthropic/claude-opus-4.7", "Claude-Opus-4-7"),
        ("claude-opus-5", "claude-opus-5@default", "global.anthropic.claude-opus-5-v1:0"),
    ],
)
def test_hosts_spell_a_claude_differently_and_mean_the_same(spellings):
    assert len({claude(spelling) for spelling in spellings}) == 1


def test_a_known_claude_is_itself_behind_a_server_that_promises_little():
    can, own = claude("claude-opus-4-8", COMPATIBLE_MESSAGES), claude("claude-opus-4-8")
    for name in ("thinking", "sampling_params", "sampling_with_reasoning", "prefill", "max_output", "mid_system"):
        assert getattr(can, name) == getattr(own, name)
    assert claude("some-model", COMPATIBLE_MESSAGES).sampling_params


def test_older_gpt_lines_lack_what_came_later():
    assert not gpt("gpt-4o").reasoning_effort
    assert not gpt("gpt-4-turbo").structured_output
    assert gpt("gpt-4o-mini").structured_output
    assert gpt("gpt-3.5-turbo").max_output == gpt("gpt-35-turbo").max_output == 4096
    assert gpt("gpt-4.1").max_output == 32768
    assert gpt("ft:gpt-4o-mini-2024-07-18:acme::x") == gpt("prod-gpt-4o-mini") == gpt("gpt-4o-mini")


def test_reasoning_gpt_lines_refuse_sampling_and_stop():
    for model in ("o1", "o3-mini", "o4-mini", "openai/o3"):
        assert not gpt(model).sampling_params
        assert not gpt(model).parallel_tool_calls
    for model in ("o3", "gpt-5", "gpt-5-mini", "gpt-5.2"):
        assert gpt(model).max_stop == 0
    assert not gpt("gpt-5-mini").sampling_params
    assert gpt("gpt-5.2").sampling_params
    assert not gpt("gpt-5.2").sampling_with_reasoning
    assert not gpt("gpt-5-chat-latest").reasoning_effort


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("gpt-5", "minimal low medium high"),
        ("gpt-5.1", "none low medium high"),
        ("gpt-5.2", "none low medium high xhigh"),
        ("gpt-5-pro", "high"),
        ("gpt-5-codex", "low medium high"),
        ("gpt-5.1-codex-max", "low medium high xhigh"),
        ("gpt-5.3-codex", "low medium high xhigh"),
        ("o3", "low medium high"),
        ("gpt-6", "none minimal low medium high xhigh max"),
        ("gpt-x", "none minimal low medium high xhigh max"),
    ],
)
def test_efforts_of_gpt_lines(model, efforts):
    assert " ".join(gpt(model).efforts) == efforts


def test_gemini_lines():
    assert gemini("gemini-2.0-flash").thinking == "none"
    assert not gemini("gemini-2.5-flash").thinking_level
    assert not gemini("gemini-2.5-flash").thought_signature_required
    assert "none" not in gemini("gemini-2.5-pro").efforts
    assert gemini("gemini-3-pro-preview").efforts == ("low", "medium", "high")
    assert gemini("gemini-3.1-pro-preview").thinking_level
    assert gemini("gemini-3.1-pro-preview").thought_signature_required


def test_an_unknown_gemini_is_asked_in_the_words_that_all_of_them_know():
    can = gemini("gemini-flash-latest")
    assert not can.thinking_level
    assert can.thought_signature_required


def test_open_families_bring_their_own_needs_wherever_they_run():
    assert of_model(OPEN_CHAT, OPEN_MODELS, "mistralai/Mistral-Small-24B").max_tool_id == 9
    assert of_model(OPEN_CHAT, OPEN_MODELS, "google/gemma-3-27b-it").strict_alternation
    assert of_model(OPEN_CHAT, OPEN_MODELS, "openai/gpt-oss-120b").reasoning_effort
    assert of_model(OPEN_CHAT, OPEN_MODELS, "Qwen/Qwen3-32B") == OPEN_CHAT
