"""What single providers and their models are known to take, where a wrong fact draws a refusal."""

import pytest

from channels_app.engine.providers import PROVIDERS


def can(provider: str, model: str, upstream_format: str = "openai-chat"):
    return PROVIDERS[provider].capabilities_of(upstream_format, model)


@pytest.mark.parametrize(
    ("provider", "model", "thinks"),
    [
        ("deepseek", "deepseek-v4-pro", True),
        ("deepseek", "deepseek-reasoner", True),
        ("deepseek", "deepseek-chat", False),
        ("bailian", "qwen3-235b-a22b", True),
        ("bailian", "qwen3-235b-a22b-instruct-2507", False),
        ("bailian", "qwen3-235b-a22b-thinking-2507", True),
        ("bailian", "qwq-plus", True),
        ("bailian", "qwen3.5-plus", True),
        ("bailian", "qwen3-max", False),
        ("bailian", "qwen3-coder-plus", False),
        ("bailian", "qwen-max", False),
        ("modelscope", "Qwen/Qwen3-8B", True),
        ("moonshot", "kimi-k2-thinking-turbo", True),
        ("moonshot", "kimi-k2-0905-preview", False),
    ],
)
def test_models_that_think_unasked_are_known(provider, model, thinks):
    assert can(provider, model).reasons_by_default is thinks


def test_hosts_of_qwen_answer_a_thinking_model_in_streams_only():
    assert not can("bailian", "qwen-plus").whole_while_thinking
    assert not can("modelscope", "Qwen/Qwen3-8B").whole_while_thinking
    assert can("deepseek", "deepseek-v4-pro").whole_while_thinking


def test_qwen_models_that_only_think_are_not_told_to_stop():
    assert not can("bailian", "qwq-plus").thinking_off
    assert not can("modelscope", "Qwen/Qwen3-235B-A22B-Thinking-2507").thinking_off
    assert can("bailian", "qwen-plus").thinking_off


def test_hunyuan_has_a_switch_for_thinking_and_no_budget():
    assert not can("hunyuan", "hunyuan-a13b").thinking_budget
    assert can("bailian", "qwen-plus").thinking_budget


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("mistral", "mistral-large-latest"),
        ("vllm", "mistralai/Devstral-Small-2507"),
        ("openrouter", "mistralai/mistral-small"),
    ],
)
def test_mistrals_models_want_a_turn_between_a_result_and_the_user(provider, model):
    assert not can(provider, model).user_after_tool


@pytest.mark.parametrize(
    ("model", "field", "developer"),
    [
        ("gpt-4o", "max_tokens", False),
        ("prod-gpt-4.1-mini", "max_tokens", False),
        ("gpt-35-turbo", "max_tokens", False),
        ("gpt-5", "max_completion_tokens", True),
        ("o3-mini", "max_completion_tokens", True),
        ("my-deployment", "max_completion_tokens", True),
    ],
)
def test_azure_knows_the_newer_words_for_models_that_reason(model, field, developer):
    known = can("azure-openai", model)
    assert (known.max_tokens_field, known.developer_role) == (field, developer)


def test_one_answer_is_all_that_openrouter_gives():
    assert not can("openrouter", "openai/gpt-5").choices


def test_a_bias_of_tokens_is_another_thing_to_tgi():
    assert not can("tgi", "tgi").logit_bias


@pytest.mark.parametrize("provider", ["mistral", "groq"])
def test_names_of_speakers_are_refused(provider):
    assert not can(provider, "m").names


def test_thinking_of_qwen_on_groq_can_be_switched_off_and_no_more():
    known = can("groq", "qwen/qwen3-32b")
    assert (known.reasoning_effort, known.efforts) == (True, ("none",))


def test_the_models_before_thinking_have_no_switch_for_it():
    assert can("zhipu", "glm-4-plus").thinking_switch == ""
    assert can("zhipu", "glm-4.6").thinking_switch == "thinking"


def test_only_claude_keeps_cache_marks_behind_tools_on_converse():
    assert not can("bedrock", "amazon.nova-pro-v1:0", "bedrock-converse").cached_tools
    assert can("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock-converse").cached_tools


def test_results_with_pictures_are_known_to_claude_and_nova_on_converse():
    seen = {
        model: can("bedrock", model, "bedrock-converse").tool_message_images
        for model in (
            "amazon.nova-pro-v1:0",
            "anthropic.claude-opus-4-1-20250805-v1:0",
            "mistral.mistral-large-2407-v1:0",
        )
    }
    assert list(seen.values()) == [True, True, False]


def test_nova_takes_a_top_k():
    assert can("bedrock", "us.amazon.nova-lite-v1:0", "bedrock-converse").top_k
