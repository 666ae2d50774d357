"""Where each provider is asked, from the base URL as people have it, and how it is told who asks."""

import pytest
from django.core.exceptions import ValidationError

from channels_app import channel_checks as checks
from channels_app.engine.providers import PROVIDERS

AZURE = "https://res.openai.azure.com"
BEDROCK = "https://bedrock-runtime.eu-west-1.amazonaws.com"
VERTEX = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1"
VERTEX_GLOBAL = "https://aiplatform.googleapis.com/v1/projects/p/locations/global"


def asked_at(provider: str, pasted: str, wanted: str, model: str) -> str:
    """Return the URL of an operation for a base URL as it was pasted; storing it twice changes nothing."""
    stored = checks.clean_base_url(pasted, PROVIDERS[provider])
    assert checks.clean_base_url(stored, PROVIDERS[provider]) == stored
    return PROVIDERS[provider].url(stored or PROVIDERS[provider].base_url, wanted, model)


@pytest.mark.parametrize(
    ("provider", "wanted", "model", "url", "also_pasted"),
    [
        ("openai", "openai-chat", "m", "https://api.openai.com/v1/chat/completions", ["https://api.openai.com"]),
        ("openai", "openai-speech", "m", "https://api.openai.com/v1/audio/speech", []),
        (
            "deepseek",
            "openai-chat",
            "deepseek-chat",
            "https://api.deepseek.com/beta/chat/completions",
            [
                *(
                    "https://api.deepseek.com/v1",
                    "https://api.deepseek.com/anthropic",
                    "https://api.deepseek.com/beta/",
                ),
                *("https://api.deepseek.com/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
            ],
        ),
        (
            "deepseek",
            "anthropic",
            "deepseek-chat",
            "https://api.deepseek.com/anthropic/v1/messages",
            ["https://api.deepseek.com/anthropic/v1", "https://api.deepseek.com"],
        ),
        (
            "openrouter",
            "openai-chat",
            "m",
            "https://openrouter.ai/api/v1/chat/completions",
            ["https://openrouter.ai/api/v1", "https://openrouter.ai/api", "https://openrouter.ai"],
        ),
        ("mistral", "openai-chat", "m", "https://api.mistral.ai/v1/chat/completions", ["https://api.mistral.ai/v1"]),
        (
            "cohere",
            "cohere",
            "m",
            "https://api.cohere.com/v2/chat",
            ["https://api.cohere.com/v1", "https://api.cohere.com/v2"],
        ),
        ("cohere", "cohere-rerank", "m", "https://api.cohere.com/v2/rerank", []),
        (
            "huggingface",
            "openai-chat",
            "m",
            "https://router.huggingface.co/v1/chat/completions",
            ["https://router.huggingface.co/v1"],
        ),
        ("tgi", "openai-chat", "tgi", "http://box:8080/v1/chat/completions", ["http://box:8080", "http://box:8080/v1"]),
        ("tgi", "tei-rerank", "m", "http://box:8080/rerank", ["http://box:8080"]),
        (
            "ollama",
            "ollama",
            "m",
            "http://box:11434/api/chat",
            ["http://box:11434", "http://box:11434/", "http://box:11434/api", "http://box:11434/v1"],
        ),
        ("ollama", "openai-chat", "m", "http://box:11434/v1/chat/completions", ["http://box:11434/v1"]),
        ("ollama", "ollama-embed", "m", "http://box:11434/api/embed", []),
        ("vllm", "openai-chat", "m", "http://box:8000/v1/chat/completions", ["http://box:8000", "http://box:8000/v1"]),
        ("vllm", "anthropic", "m", "http://box:8000/v1/messages", ["http://box:8000"]),
        ("vllm", "jina-rerank", "m", "http://box:8000/gpu/v1/rerank", ["http://box:8000/gpu/v1/"]),
        (
            "gpustack",
            "openai-chat",
            "m",
            "http://box/v1/chat/completions",
            ["http://box/v1-openai", "http://box/v1", "http://box/v1-openai/chat/completions"],
        ),
        (
            "gemini",
            "gemini:generateContent",
            "models/gemini-2.5-pro",
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
            [
                *(
                    "https://generativelanguage.googleapis.com",
                    "https://generativelanguage.googleapis.com/v1beta/models",
                ),
                "https://generativelanguage.googleapis.com/v1beta/openai/",
            ],
        ),
        ("xinference", "jina-rerank", "m", "http://box:9997/v1/rerank", ["http://box:9997/v1"]),
        ("localai", "openai-images", "m", "http://box:8080/v1/images/generations", ["http://box:8080"]),
        (
            "bailian",
            "openai-chat",
            "m",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
            ["https://dashscope.aliyuncs.com/compatible-mode/v1", "https://dashscope.aliyuncs.com"],
        ),
        (
            "bailian",
            "bailian-rerank",
            "m",
            "https://dashscope-intl.aliyuncs.com/api/v1/services/rerank/text-rerank/text-rerank",
            ["https://dashscope-intl.aliyuncs.com/api/v1", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"],
        ),
        (
            "hunyuan",
            "openai-chat",
            "m",
            "https://api.hunyuan.cloud.tencent.com/v1/chat/completions",
            ["https://api.hunyuan.cloud.tencent.com/v1"],
        ),
        (
            "zhipu",
            "openai-chat",
            "m",
            "https://open.bigmodel.cn/api/paas/v4/chat/completions",
            ["https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/anthropic"],
        ),
        (
            "zhipu",
            "openai-chat",
            "m",
            "https://api.z.ai/api/coding/paas/v4/chat/completions",
            ["https://api.z.ai/api/coding/paas/v4"],
        ),
        (
            "zhipu",
            "anthropic",
            "m",
            "https://api.z.ai/api/anthropic/v1/messages",
            ["https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/anthropic"],
        ),
        (
            "modelscope",
            "openai-chat",
            "m",
            "https://api-inference.modelscope.cn/v1/chat/completions",
            ["https://api-inference.modelscope.cn/v1"],
        ),
        ("iflow", "openai-chat", "m", "https://apis.iflow.cn/v1/chat/completions", ["https://apis.iflow.cn/v1"]),
        (
            "groq",
            "openai-chat",
            "m",
            "https://api.groq.com/openai/v1/chat/completions",
            ["https://api.groq.com/openai/v1", "https://api.groq.com"],
        ),
        ("xai", "openai-responses", "m", "https://api.x.ai/v1/responses", ["https://api.x.ai/v1"]),
        ("moonshot", "openai-chat", "m", "https://api.moonshot.ai/v1/chat/completions", ["https://api.moonshot.ai/v1"]),
        (
            "moonshot",
            "anthropic",
            "m",
            "https://api.moonshot.cn/anthropic/v1/messages",
            ["https://api.moonshot.cn/anthropic"],
        ),
        (
            "together",
            "openai-chat",
            "m",
            "https://api.together.xyz/v1/chat/completions",
            ["https://api.together.xyz/v1"],
        ),
        (
            "azure-openai",
            "openai-chat",
            "dep",
            f"{AZURE}/openai/v1/chat/completions",
            [AZURE, f"{AZURE}/openai", f"{AZURE}/openai/v1/"],
        ),
        ("azure-openai", "openai-responses", "dep", f"{AZURE}/openai/v1/responses", []),
        (
            "azure-openai",
            "openai-chat",
            "my dep",
            f"{AZURE}/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21",
            [f"{AZURE}/openai?api-version=2024-10-21", f"{AZURE}?api-version=2024-10-21"],
        ),
        (
            "azure-openai",
            "openai-chat",
            "gpt-4o",
            f"{AZURE}/openai/deployments/fixed/chat/completions?api-version=2024-10-21",
            [f"{AZURE}/openai/deployments/fixed?api-version=2024-10-21"],
        ),
        (
            "azure-openai",
            "openai-responses",
            "gpt-4o",
            f"{AZURE}/openai/responses?api-version=2025-04-01-preview",
            [
                f"{AZURE}/openai?api-version=2025-04-01-preview",
                f"{AZURE}/openai/deployments/fixed?api-version=2025-04-01-preview",
            ],
        ),
        (
            "azure-openai",
            "openai-chat",
            "dep",
            "https://gate.example/team/openai/v1/chat/completions?api-version=preview",
            ["https://gate.example/team/openai/v1?api-version=preview"],
        ),
        (
            "bedrock",
            "bedrock-converse",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            f"{BEDROCK}/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
            [BEDROCK, f"{BEDROCK}/"],
        ),
        (
            "bedrock",
            "bedrock-invoke:stream",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x",
            f"{BEDROCK}/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x"
            "/invoke-with-response-stream",
            [BEDROCK],
        ),
        (
            "vertex",
            "gemini:generateContent",
            "gemini-2.5-pro",
            f"{VERTEX}/publishers/google/models/gemini-2.5-pro:generateContent",
            [VERTEX, f"{VERTEX}/publishers", f"{VERTEX}/publishers/anthropic/models/claude-x:rawPredict"],
        ),
        (
            "vertex",
            "vertex-anthropic:stream",
            "claude-sonnet-4-5@20250929",
            f"{VERTEX_GLOBAL}/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
            [VERTEX_GLOBAL, f"{VERTEX_GLOBAL}/publishers/google/models/g:streamGenerateContent?alt=sse"],
        ),
    ],
)
def test_url_of_an_operation(provider, wanted, model, url, also_pasted):
    for pasted in (url, *also_pasted):
        assert asked_at(provider, pasted, wanted, model) == url, pasted


def test_a_tuned_model_of_gemini_is_a_resource_of_its_own():
    gemini = PROVIDERS["gemini"]
    url = gemini.url(gemini.base_url, "gemini:countTokens", "tunedModels/mine")
    assert url == "https://generativelanguage.googleapis.com/v1beta/tunedModels/mine:countTokens"


@pytest.mark.parametrize(
    ("provider", "pasted", "sentence"),
    [
        ("azure-openai", "", "Azure OpenAI needs a base URL, such as https://my-resource.openai.azure.com/openai/v1"),
        ("azure-openai", f"{AZURE}/openai/deployments/dep", "needs the date of the API"),
        ("azure-openai", f"{AZURE}/openai?api-key=s3cret", "leave out everything from"),
        ("bedrock", "", "such as https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("bedrock", "https://bedrock.us-east-1.amazonaws.com", "is the runtime of a region"),
        ("vertex", "", "Google Vertex AI needs a base URL, such as https://europe-west1-aiplatform"),
        ("vertex", "https://europe-west1-aiplatform.googleapis.com", "names project and location"),
        ("vertex", "https://europe-west1-aiplatform.googleapis.com/v1/projects/p", "names project and location"),
        ("vertex", VERTEX.replace("europe-west1-", ""), "is served by https://europe-west1-aiplatform"),
        ("vertex", VERTEX_GLOBAL.replace("//", "//us-east1-"), "is served by https://aiplatform.googleapis.com"),
        ("ollama", "", "Ollama needs a base URL, such as http://127.0.0.1:11434"),
    ],
)
def test_a_base_url_that_lacks_something_is_answered_with_how_it_must_look(provider, pasted, sentence):
    with pytest.raises(ValidationError) as caught:
        checks.clean_base_url(pasted, PROVIDERS[provider])
    assert sentence in caught.value.messages[0]
    assert "s3cret" not in caught.value.messages[0]


@pytest.mark.parametrize(
    ("provider", "secret", "headers"),
    [
        ("anthropic", "sk-ant", [("x-api-key", "sk-ant")]),
        ("gemini", "AIza", [("x-goog-api-key", "AIza")]),
        ("azure-openai", "0123abcd", [("api-key", "0123abcd")]),
        ("azure-openai", "eyJhbGciOi.eyJhdWQiOi.c2ln", [("authorization", "Bearer eyJhbGciOi.eyJhdWQiOi.c2ln")]),
        ("bedrock", "ABSKQmVkcm9jaw==", [("authorization", "Bearer ABSKQmVkcm9jaw==")]),
        ("ollama", "", []),
        ("vllm", "token", [("authorization", "Bearer token")]),
        *(
            (name, "key", [("authorization", "Bearer key")])
            for name in (
                *("deepseek", "openrouter", "mistral", "cohere", "huggingface", "tgi", "gpustack", "xinference"),
                *("localai", "bailian", "hunyuan", "zhipu", "modelscope", "iflow", "groq", "xai", "moonshot"),
                "together",
            )
        ),
    ],
)
def test_a_credential_travels_as_the_provider_wants_it(provider, secret, headers):
    assert PROVIDERS[provider].auth_headers(secret) == headers


def test_the_probe_of_a_dated_base_url_stands_beside_the_deployments():
    azure = PROVIDERS["azure-openai"]
    stored = f"{AZURE}/openai/deployments/dep?api-version=2024-10-21"
    assert azure.probe_url(stored) == f"{AZURE}/openai/models?api-version=2024-10-21"
    assert azure.probe_url(f"{AZURE}/openai/v1") == f"{AZURE}/openai/v1/models"


def test_claude_and_other_models_of_one_cloud_are_asked_in_formats_of_their_own():
    bedrock, vertex = PROVIDERS["bedrock"], PROVIDERS["vertex"]
    assert bedrock.formats_of("eu.anthropic.Claude-sonnet-5-v1:0") == ["bedrock-invoke", "bedrock-converse"]
    assert bedrock.formats_of("amazon.nova-pro-v1:0") == ["bedrock-converse"]
    assert vertex.formats_of("claude-opus-4-8@20260601") == ["vertex-anthropic"]
    assert vertex.formats_of("gemini-3-pro-preview") == ["gemini"]
    assert vertex.offers("gemini:countTokens", "gemini-3-pro-preview")
    assert not vertex.offers("gemini:countTokens", "claude-opus-4-8")
