"""PROVIDERS: one line per provider."""

from channels_app.engine.provider import Provider
from channels_app.engine.registry import Registry

PROVIDERS: Registry[Provider] = Registry(
    "routex.providers",
    __name__,
    {
        "anthropic": ".anthropic:Anthropic",
        "anthropic-compatible": ".anthropic_compatible:AnthropicCompatible",
        "azure-openai": ".azure_openai:AzureOpenAI",
        "bailian": ".bailian:Bailian",
        "bedrock": ".bedrock:Bedrock",
        "cohere": ".cohere:Cohere",
        "deepseek": ".deepseek:DeepSeek",
        "echo": ".echo:Echo",
        "gemini": ".gemini:Gemini",
        "gpustack": ".gpustack:GPUStack",
        "groq": ".groq:Groq",
        "huggingface": ".huggingface:HuggingFace",
        "hunyuan": ".hunyuan:Hunyuan",
        "iflow": ".iflow:IFlow",
        "localai": ".localai:LocalAI",
        "mistral": ".mistral:Mistral",
        "modelscope": ".modelscope:ModelScope",
        "moonshot": ".moonshot:Moonshot",
        "ollama": ".ollama:Ollama",
        "openai": ".openai:OpenAI",
        "openai-compatible": ".openai_compatible:OpenAICompatible",
        "openrouter": ".openrouter:OpenRouter",
        "tgi": ".tgi:TextGenerationInference",
        "together": ".together:Together",
        "vertex": ".vertex:Vertex",
        "vllm": ".vllm:VLLM",
        "xai": ".xai:XAI",
        "xinference": ".xinference:Xinference",
        "zhipu": ".zhipu:Zhipu",
    },
)
