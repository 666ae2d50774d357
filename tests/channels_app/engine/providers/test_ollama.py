"""Which local models are asked to think: one that cannot refuses the whole request."""

import pytest

from channels_app.engine.providers import PROVIDERS


@pytest.mark.parametrize(
    "model", ["qwen3:8b", "deepseek-r1:1.5b", "gpt-oss:20b", "deepseek-v4-flash", "hf.co/me/Qwen3-4B-Thinking-GGUF"]
)
def test_families_that_think_are_asked(model):
    assert PROVIDERS["ollama"].capabilities_of("ollama", model).thinking == "enabled"


@pytest.mark.parametrize("model", ["llama3.2", "gemma3:4b", "deepseek-v3", "qwen2.5-coder:7b"])
def test_others_are_not(model):
    assert PROVIDERS["ollama"].capabilities_of("ollama", model).thinking == "none"
