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
